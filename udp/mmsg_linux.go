package udp

import (
	"unsafe"

	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr; the compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32 // out: bytes received or sent
}

// segment is a control message with the size of the segments in one packet: UDP_SEGMENT
// (16 bits) on the way out, UDP_GRO (an int) on the way in. udp(7)
type segment struct {
	hdr  unix.Cmsghdr
	size [8]byte
}

const (
	sizeofSockaddr = uint32(unsafe.Sizeof(ip4.Sockaddr{}))
	sizeofCmsghdr  = int(unsafe.Sizeof(unix.Cmsghdr{}))
	sizeofSegment  = int(unsafe.Sizeof(segment{}))
)

// initSend makes s the control message for sending; setSend then changes the size.
func (s *segment) initSend() {
	s.hdr.Level, s.hdr.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	s.hdr.SetLen(sizeofCmsghdr + 2)
}

func (s *segment) setSend(size int) { *(*uint16)(unsafe.Pointer(&s.size)) = uint16(size) }

// received returns the size of the segments, or 0 when the packet is one datagram. n is the
// length of the control data that came.
func (s *segment) received(n int) int {
	if n < sizeofCmsghdr+4 || s.hdr.Level != unix.IPPROTO_UDP || s.hdr.Type != unix.UDP_GRO {
		return 0
	}
	return int(*(*int32)(unsafe.Pointer(&s.size)))
}

// recvmmsg receives into hdrs without sleeping and returns how many were filled. A packet that is
// longer than its slot is cut off; its len is then what it was on its way (MSG_TRUNC, recv(2)).
func recvmmsg(fd int, hdrs []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(hdrs))),
		uintptr(len(hdrs)), unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// recvmsg is recvmmsg for one packet.
func recvmsg(fd int, h *mmsghdr) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h.hdr)), unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if e != 0 {
		return 0, e
	}
	h.len = uint32(n)
	return 1, 0
}

// recvfrom is recvmsg without control messages: it does not say whether the packet is several datagrams.
func recvfrom(fd int, h *mmsghdr) (int, unix.Errno) {
	size := h.hdr.Iov.Len
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(h.hdr.Iov.Base)), uintptr(size),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(h.hdr.Name)), uintptr(unsafe.Pointer(&h.hdr.Namelen)))
	if e != 0 {
		return 0, e
	}
	h.len, h.hdr.Flags = uint32(n), 0
	h.hdr.SetControllen(0)
	if n > uintptr(size) {
		h.hdr.Flags = unix.MSG_TRUNC
	}
	return 1, 0
}

// sendmmsg sends hdrs without sleeping and returns how many the kernel took: with an error
// none. An error after the first shows in the next call.
func sendmmsg(fd int, hdrs []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(hdrs))),
		uintptr(len(hdrs)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// sendmsg sends one packet without sleeping, and returns 1, or 0 with an error.
func sendmsg(fd int, h *unix.Msghdr) (int, unix.Errno) {
	_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if e != 0 {
		return 0, e
	}
	return 1, 0
}

// sendto is sendmsg for a packet that is one piece without control messages.
func sendto(fd int, h *unix.Msghdr) (int, unix.Errno) {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
	if e != 0 {
		return 0, e
	}
	return 1, 0
}
