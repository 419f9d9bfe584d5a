package rig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// dropAtPorts has nftables lose packets as they enter the switch: a chain on the netdev family's
// ingress hook of each port, with one rule, as nft would write it:
//
//	table netdev rig { chain port0 { type filter hook ingress device "port0" priority 0;
//		numgen random mod 1000000 < 10000 drop } }
//
// It is sent by netlink (linux/netfilter/nf_tables.h), so that a rig needs no nft.
func dropAtPorts(hosts int, loss float64) error {
	b := nftBatch{}
	b.message(unix.NFNL_MSG_BATCH_BEGIN, 0, nil)
	b.message(newTable, unix.NLM_F_CREATE, text(unix.NFTA_TABLE_NAME, "rig"))
	for i := range hosts {
		port := portName(i)
		b.message(newChain, unix.NLM_F_CREATE, join(
			text(unix.NFTA_CHAIN_TABLE, "rig"), text(unix.NFTA_CHAIN_NAME, port), text(unix.NFTA_CHAIN_TYPE, "filter"),
			nest(unix.NFTA_CHAIN_HOOK, word(unix.NFTA_HOOK_HOOKNUM, netdevIngress), word(unix.NFTA_HOOK_PRIORITY, 0), text(unix.NFTA_HOOK_DEV, port))))
		b.message(newRule, unix.NLM_F_CREATE|unix.NLM_F_APPEND, join(
			text(unix.NFTA_RULE_TABLE, "rig"), text(unix.NFTA_RULE_CHAIN, port),
			nest(unix.NFTA_RULE_EXPRESSIONS, unlucky(loss)...)))
	}
	b.message(unix.NFNL_MSG_BATCH_END, 0, nil)
	if err := b.send(); err != nil {
		return fmt.Errorf("%w: losing packets at a switch's ports (nftables with CONFIG_NETFILTER_INGRESS, CONFIG_NFT_NUMGEN): %w", ErrUnsupported, err)
	}
	return nil
}

// unlucky are the expressions of a rule that drops this part of the packets.
func unlucky(loss float64) [][]byte {
	const million = 1_000_000
	limit := binary.BigEndian.AppendUint32(nil, uint32(math.Round(loss*million)))
	return [][]byte{
		expression("numgen", word(unix.NFTA_NG_DREG, unix.NFT_REG_1), word(unix.NFTA_NG_MODULUS, million), word(unix.NFTA_NG_TYPE, unix.NFT_NG_RANDOM)),
		// Numbers are the host's; what is compared as bytes has to be the network's.
		expression("byteorder", word(unix.NFTA_BYTEORDER_SREG, unix.NFT_REG_1), word(unix.NFTA_BYTEORDER_DREG, unix.NFT_REG_1),
			word(unix.NFTA_BYTEORDER_OP, unix.NFT_BYTEORDER_HTON), word(unix.NFTA_BYTEORDER_LEN, 4), word(unix.NFTA_BYTEORDER_SIZE, 4)),
		expression("cmp", word(unix.NFTA_CMP_SREG, unix.NFT_REG_1), word(unix.NFTA_CMP_OP, unix.NFT_CMP_LT),
			nest(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, limit))),
		expression("immediate", word(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
			nest(unix.NFTA_IMMEDIATE_DATA, nest(unix.NFTA_DATA_VERDICT, word(unix.NFTA_VERDICT_CODE, verdictDrop)))),
	}
}

const (
	newTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE
	newChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWCHAIN
	newRule  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE

	netdevIngress = 0 // NF_NETDEV_INGRESS
	verdictDrop   = 0 // NF_DROP
)

// nftBatch is a transaction: all of its messages take effect, or none.
type nftBatch struct {
	b   []byte
	seq uint32
}

// message appends one message (struct nlmsghdr, struct nfgenmsg, attributes).
func (n *nftBatch) message(kind int, flags uint16, attributes []byte) {
	n.seq++
	family, resource := byte(unix.NFPROTO_NETDEV), uint16(0)
	if kind == unix.NFNL_MSG_BATCH_BEGIN || kind == unix.NFNL_MSG_BATCH_END {
		family, resource = unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES
	}
	n.b = binary.NativeEndian.AppendUint32(n.b, uint32(20+len(attributes)))
	n.b = binary.NativeEndian.AppendUint16(n.b, uint16(kind))
	n.b = binary.NativeEndian.AppendUint16(n.b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	n.b = binary.NativeEndian.AppendUint32(n.b, n.seq)
	n.b = binary.NativeEndian.AppendUint32(n.b, 0)
	n.b = append(n.b, family, unix.NFNETLINK_V0)
	n.b = binary.BigEndian.AppendUint16(n.b, resource)
	n.b = append(n.b, attributes...)
}

// send hands the batch to the kernel and waits for its answers to the messages.
func (n *nftBatch) send() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	if err := unix.Sendto(fd, n.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	in := make([]byte, 64<<10)
	// The last message whose answer comes is the last rule: the end of a batch has none.
	for last := n.seq - 1; ; {
		size, err := unix.Read(fd, in)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		for b := in[:size]; len(b) >= unix.NLMSG_HDRLEN+4; {
			length := int(binary.NativeEndian.Uint32(b))
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
				if e := int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); e != 0 {
					return unix.Errno(-e)
				}
				if binary.NativeEndian.Uint32(b[8:]) == last {
					return nil
				}
			}
			b = b[min(max((length+3)&^3, unix.NLMSG_HDRLEN), len(b)):]
		}
	}
}

// attribute is a netlink attribute.
func attribute(kind int, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func word(kind int, v uint32) []byte {
	return attribute(kind, binary.BigEndian.AppendUint32(nil, v))
}
func text(kind int, s string) []byte { return attribute(kind, append([]byte(s), 0)) }
func nest(kind int, parts ...[]byte) []byte {
	return attribute(kind|unix.NLA_F_NESTED, join(parts...))
}

// expression is one step of a rule.
func expression(name string, parts ...[]byte) []byte {
	return nest(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nest(unix.NFTA_EXPR_DATA, parts...))
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
