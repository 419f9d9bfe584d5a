package plain

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	sentinel := errors.New("udp: configuration")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: no interface: %w", sentinel, io.EOF), "no interface: EOF"},
		{fmt.Errorf("udp: cannot bind: %w", io.EOF), "cannot bind: EOF"},
		{fmt.Errorf("bind: udp: %w", io.EOF), "bind: udp: EOF"},
		{io.EOF, "EOF"},
	} {
		got := Error(c.err, sentinel.Error(), "udp")
		if got.Error() != c.want || errors.Is(got, sentinel) != errors.Is(c.err, sentinel) || !errors.Is(got, io.EOF) {
			t.Errorf("%q became %q, want %q", c.err, got, c.want)
		}
	}
	if Error(nil, "udp") != nil {
		t.Error("nil became an error")
	}
}
