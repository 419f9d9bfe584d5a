package xdp

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// With too few descriptors Open says that, and leaves none behind; and when there are enough it works.
func TestDescriptors(t *testing.T) {
	na, _ := pair(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list) - 1 // the one that reads
	}
	limit := func(n uint64) {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: before.Max}, nil); err != nil {
			t.Fatal(err)
		}
	}
	had := open()
	for spare := 0; ; spare++ {
		var d *Driver
		var err error
		na.do(func() {
			limit(uint64(had + spare))
			defer limit(before.Cur)
			d, err = Open(testConfig(0))
		})
		if err == nil {
			d.Close()
			t.Logf("Open takes %d descriptors", spare)
			return
		}
		if !errors.Is(err, unix.EMFILE) || errors.Is(err, ErrUnsupported) || strings.Contains(err.Error(), "needs Linux") {
			t.Fatalf("with %d descriptors: %v", spare, err)
		}
		if n := open(); n != had {
			t.Fatalf("with %d descriptors: %d are left behind", spare, n-had)
		}
		if spare == 64 {
			t.Fatalf("64 descriptors are not enough: %v", err)
		}
	}
}
