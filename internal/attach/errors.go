package attach

import (
	"errors"

	"github.com/activeblaze/blaze/internal/plain"
	"github.com/activeblaze/blaze/udp"
	"github.com/activeblaze/blaze/xdp"
)

// IsConfig reports whether an error of Open is one of configuration: another URI cures it.
func IsConfig(err error) bool { return is(err, udp.ErrConfig, xdp.ErrConfig) }

// IsUnsupported reports whether an error of Open means that this host, process or build lacks something.
func IsUnsupported(err error) bool {
	return is(err, udp.ErrUnsupported, xdp.ErrUnsupported, xdp.ErrPrivilege)
}

func is(err error, any ...error) bool {
	for _, target := range any {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// statement is err without the driver's prefix.
func statement(err error) error {
	return plain.Error(err,
		udp.ErrConfig.Error(), udp.ErrUnsupported.Error(),
		xdp.ErrConfig.Error(), xdp.ErrUnsupported.Error(), xdp.ErrPrivilege.Error(), "udp", "xdp")
}
