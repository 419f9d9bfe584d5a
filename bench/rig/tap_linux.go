package rig

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/activeblaze/blaze/engine"
	"golang.org/x/sys/unix"
)

// tapSwitch carries frames between the hosts' tap interfaces as a fabric has it, on a goroutine of its own.
type tapSwitch struct {
	taps []int // descriptors, non-blocking
	stop int   // an eventfd: readable when the switch has to end
	done chan struct{}

	mu sync.Mutex
	f  *fabric
}

// newTapSwitch makes the interface of each host, and starts the switch.
func newTapSwitch(hosts []*Host, seed uint64) (_ *tapSwitch, err error) {
	s := &tapSwitch{stop: -1, done: make(chan struct{}), f: newFabric(len(hosts), seed)}
	defer func() {
		if err != nil {
			s.closeAll()
		}
	}()
	if s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("rig: eventfd: %w", err)
	}
	for _, h := range hosts {
		if err := h.Run(func() error {
			fd, err := openTap(Interface)
			if err == nil {
				s.taps = append(s.taps, fd)
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	go s.run()
	return s, nil
}

// openTap makes a tap interface in the calling thread's namespace. It is gone when its descriptor is closed.
func openTap(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: a tap interface (CONFIG_TUN, /dev/net/tun): %w", ErrUnsupported, err)
	}
	var request struct { // struct ifreq
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = unix.IFF_TAP | unix.IFF_NO_PI
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); e != 0 {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: a tap interface (TUNSETIFF): %w", ErrUnsupported, e)
	}
	return fd, nil
}

// perTurn is how many frames a port may bring before the others have their turn.
const perTurn = 64

func (s *tapSwitch) run() {
	defer close(s.done)
	ready := make([]unix.PollFd, 1+len(s.taps))
	ready[0] = unix.PollFd{Fd: int32(s.stop), Events: unix.POLLIN}
	for i, fd := range s.taps {
		ready[1+i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	buf := make([]byte, 64<<10)
	for {
		// What waits for its time ends the poll; what set changes, counts for the frames to come.
		var timeout *unix.Timespec
		s.mu.Lock()
		at, ok := s.f.deadline()
		s.mu.Unlock()
		if ok {
			ts := unix.NsecToTimespec(max(int64(at.Sub(engine.Now())), 0))
			timeout = &ts
		}
		if _, err := unix.Ppoll(ready, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if ready[0].Revents != 0 {
			return
		}
		s.mu.Lock()
		for i, fd := range s.taps {
			if ready[1+i].Revents&unix.POLLIN == 0 {
				continue
			}
			for range perTurn {
				n, err := unix.Read(fd, buf)
				if err != nil {
					break
				}
				s.f.step(engine.Now(), i, buf[:n])
			}
		}
		for {
			to, b, ok := s.f.next(engine.Now())
			if !ok {
				break
			}
			_, _ = unix.Write(s.taps[to], b) // an interface that is down loses
			s.f.recycle(b)
		}
		s.mu.Unlock()
	}
}

// set gives one way of a port's cable a link.
func (s *tapSwitch) set(port int, way Way, l Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f.set(port, way, l)
}

// isolate has the switch carry nothing between these ports, or again.
func (s *tapSwitch) isolate(on bool, ports []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range ports {
		s.f.ports[i].isolated = on
	}
}

// close ends the switch, and with it the interfaces.
func (s *tapSwitch) close() {
	if s == nil {
		return
	}
	_, _ = unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-s.done
	s.closeAll()
}

func (s *tapSwitch) closeAll() {
	for _, fd := range append(s.taps, s.stop) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
