package workload

import (
	"errors"
	"slices"
	"testing"

	"github.com/activeblaze/blaze"
)

func TestEchoKeepsOrderUnderBackPressure(t *testing.T) {
	room := 2
	var sent []byte
	e := &echo{offer: func(b []byte) error {
		if room == 0 {
			return blaze.ErrBackPressure
		}
		room--
		sent = append(sent, b...)
		return nil
	}}
	buf := make([]byte, 1)
	for i := range byte(5) {
		buf[0] = i // lent: the next one overwrites it
		e.take(buf)
	}
	room = 1
	e.retry()
	room = 10
	buf[0] = 5
	e.take(buf)
	if want := []byte{0, 1, 2, 3, 4, 5}; !slices.Equal(sent, want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
	if e.failed() != nil || len(e.waiting) != 0 {
		t.Errorf("%v, %d waiting", e.failed(), len(e.waiting))
	}
}

func TestEchoRemembersAnError(t *testing.T) {
	broken := errors.New("broken")
	e := &echo{offer: func([]byte) error { return broken }}
	e.take([]byte{1})
	if e.failed() != broken {
		t.Error(e.failed())
	}
}
