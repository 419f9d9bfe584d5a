package xdp

import (
	"errors"
	"fmt"
	"net"
)

// BareConfig is what a Bare socket is made of.
type BareConfig struct {
	Interface string // its name, in the namespace of the calling thread
	Queue     int
	ZeroCopy  bool
	Socket    string // "own" or "asavie"
	Buffers   int    // of BareBuffer bytes
	FillRing  int    // entries of the fill and RX rings, a power of two
	TxRing    int    // entries of the TX and completion rings, a power of two
}

const (
	// BareBuffer is the size of a Bare's buffers in bytes.
	BareBuffer = smallChunk
	// FrameStart is where the kernel puts a packet into a buffer, unless its program moved it.
	FrameStart = frameStart
)

// Bare is a Socket with packet memory and nothing else: no filter, no driver, no protocol. It is
// for measurements of what all those are built on. Buffers that lie at BareBuffer times their
// number, and the rings, are the caller's to manage; so is the program that sends it packets.
type Bare struct {
	Socket
	Index  int // of the interface
	memory umem
}

// OpenBare opens a socket. The interface is left as it is.
func OpenBare(cfg BareConfig) (*Bare, error) {
	ifi, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no interface %q", ErrConfig, cfg.Interface)
	}
	b := &Bare{Index: ifi.Index, memory: umem{chunk: smallChunk, shift: shiftOf(smallChunk), count: cfg.Buffers}}
	open := openAsavie
	if cfg.Socket == "own" {
		open = openOwn
		if b.memory, err = newUMEM(cfg.Buffers, smallChunk); err != nil {
			return nil, err
		}
	}
	b.Socket, err = open(socketConfig{
		ifindex: ifi.Index, queue: cfg.Queue, memory: &b.memory, fill: cfg.FillRing, tx: cfg.TxRing, zeroCopy: cfg.ZeroCopy,
	})
	if err != nil {
		return nil, errors.Join(err, b.memory.unmap())
	}
	return b, nil
}

// Close closes the socket and gives its memory back.
func (b *Bare) Close() error { return errors.Join(b.Socket.Close(), b.memory.unmap()) }
