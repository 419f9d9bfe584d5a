package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/activeblaze/blaze/internal/iflock"
)

// countEvery is how often the members of this host are counted again while the loop is on and the memberships stay as many.
const countEvery = 5 * time.Second

// census finds out which sockets of this host have joined the group. It belongs to one goroutine.
type census struct {
	// The kernel's lists, of the network namespace in which they were opened.
	memberships *os.File
	sockets     *os.File
	routing     *os.File // nil: nothing that is sent is routed
	buf         []byte

	joined  int       // sockets that had joined when the members were counted last
	counted time.Time // when that was
	why     string    // what came of it
}

// open opens the kernel's lists. What is sent may pass multicast routers where routed is true, and this host may be one.
func (c *census) open(routed bool) (err error) {
	if c.memberships, err = os.Open("/proc/thread-self/net/igmp"); err == nil {
		c.sockets, err = os.Open("/proc/thread-self/net/unix")
	}
	if err == nil && routed {
		c.routing, err = os.Open("/proc/thread-self/net/ip_mr_vif")
		if errors.Is(err, fs.ErrNotExist) { // a kernel that does not route multicast has no such list
			err = nil
		}
	}
	return err
}

func (c *census) close() {
	for _, f := range []*os.File{c.memberships, c.sockets, c.routing} {
		f.Close()
	}
}

// take finds out why the copies of what goes to the group through an interface are wanted. It is empty when they are not. on
// is whether they are made now.
func (c *census) take(index int, group netip.AddrPort, on bool) (why string) {
	if c.routing != nil {
		// A router takes what its own programs send from the copies (ip_mc_output in net/ipv4/ip_output.c).
		if b, err := c.read(c.routing); err != nil || bytes.Count(b, []byte("\n")) > 1 {
			return "this host routes multicast"
		}
	}
	b, err := c.read(c.memberships)
	if err != nil {
		return "the kernel does not say who has joined: " + err.Error()
	}
	n := joined(b, index, group.Addr())
	switch {
	case n == 0:
		return "the kernel does not list this member's own membership"
	case n == 1:
		return "" // this member itself
	case on && n == c.joined && c.why != "" && time.Since(c.counted) < countEvery:
		return c.why // it is right to be on a little longer, and a long list takes a while to be read
	}
	if b, err = c.read(c.sockets); err != nil {
		return "the kernel does not say who is there: " + err.Error()
	}
	same, all := iflock.Count(b, index, group)
	switch {
	case same > 1:
		why = "another member of this host"
	case all != n:
		why = fmt.Sprintf("%d sockets of this host have joined it, and %d are members'", n, all)
	}
	c.joined, c.counted, c.why = n, time.Now(), why
	return why
}

// read reads a list from its beginning. What it returns is good until the next read.
func (c *census) read(f *os.File) ([]byte, error) {
	if c.buf == nil {
		c.buf = make([]byte, 8<<10)
	}
	for n := 0; ; {
		k, err := f.ReadAt(c.buf[n:], int64(n))
		if n += k; n < len(c.buf) {
			if err == io.EOF {
				err = nil
			}
			return c.buf[:n], err
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
}

// joined is how many sockets have joined a group on an interface, by list, which is what /proc/net/igmp has (igmp_mc_seq_show
// in net/ipv4/igmp.c). It is 0 when the group is not in the list. It allocates nothing: an idle member looks for as long as
// it lives.
func joined(list []byte, index int, group netip.Addr) int {
	a := group.As4()
	want := uint64(binary.NativeEndian.Uint32(a[:]))
	here := false
	_, list, _ = bytes.Cut(list, []byte("\n")) // "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter"
	for len(list) > 0 {
		var line []byte
		line, list, _ = bytes.Cut(list, []byte("\n"))
		first, rest := field(line)
		switch {
		case len(first) == 0:
		case line[0] != '\t': // "2\tv0        :     1      V3"
			n, err := strconv.Atoi(string(first))
			here = err == nil && n == index
		case here: // "\t\t\t\t4C42FFEF     1 0:00000000\t\t0"
			if g, err := strconv.ParseUint(string(first), 16, 32); err == nil && g == want {
				users, _ := field(rest)
				n, err := strconv.ParseUint(string(users), 10, 31)
				if err != nil {
					return 0
				}
				return int(n)
			}
		}
	}
	return 0
}

// field is the first field of a line, without the blanks before it, and what follows it.
func field(line []byte) (first, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	n := bytes.IndexAny(line, " \t")
	if n < 0 {
		n = len(line)
	}
	return line[:n], line[n:]
}
