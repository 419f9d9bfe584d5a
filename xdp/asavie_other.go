//go:build linux && !amd64

package xdp

import (
	"fmt"
	"runtime"
)

// openAsavie refuses: asavie/xdp publishes ring indexes with plain stores, which only amd64
// keeps in order.
func openAsavie(socketConfig) (Socket, error) {
	return nil, fmt.Errorf("%w: socket=asavie is for amd64 only: its rings have no memory barriers, and this is %s; use socket=own", ErrUnsupported, runtime.GOARCH)
}
