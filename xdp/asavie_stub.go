//go:build linux

package xdp

import "fmt"

func openAsavie(socketConfig) (Socket, error) {
	return nil, fmt.Errorf("%w: socket=asavie is not in this build", ErrUnsupported)
}
