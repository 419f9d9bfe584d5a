package bpf

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Programs are the XDP programs that an interface has, whoever attached them: at most one in
// each mode. The interface is looked up in the network namespace of the calling thread.
func Programs(ifindex int) ([]Attachment, error) {
	raw, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("bpf: list the interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("bpf: list the interfaces: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		// struct ifinfomsg: the index is its second word.
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg ||
			int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) != ifindex {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return nil, fmt.Errorf("bpf: read interface %d: %w", ifindex, err)
		}
		for _, a := range attributes {
			if a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_XDP {
				return programs(a.Value), nil
			}
		}
		return nil, nil
	}
	return nil, fmt.Errorf("bpf: interface with index %d: %w", ifindex, unix.ENODEV)
}

// programs reads the attributes inside IFLA_XDP (linux/if_link.h).
func programs(nested []byte) (found []Attachment) {
	for len(nested) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(nested))
		if length < unix.SizeofNlAttr || length > len(nested) {
			break
		}
		kind, value := binary.NativeEndian.Uint16(nested[2:]), nested[unix.SizeofNlAttr:length]
		mode, isID := map[uint16]Mode{
			unix.IFLA_XDP_DRV_PROG_ID: Native,
			unix.IFLA_XDP_SKB_PROG_ID: Generic,
			unix.IFLA_XDP_HW_PROG_ID:  0,
		}[kind]
		if isID && len(value) == 4 {
			id := binary.NativeEndian.Uint32(value)
			found = append(found, Attachment{Mode: mode, ID: id, Name: programName(id)})
		}
		nested = nested[min((length+3)&^3, len(nested)):]
	}
	return found
}

func programName(id uint32) string {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}
