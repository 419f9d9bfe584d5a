package held

import (
	"encoding/hex"
	"math"

	"github.com/activeblaze/blaze/internal/pb"
	"github.com/activeblaze/blaze/selector"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of Message, JmsHeader and Value in wire/blaze.proto that selectors see.
const (
	messageHeader protowire.Number = 8

	headerCorrelation protowire.Number = 2
	headerType        protowire.Number = 4
	headerTimestamp   protowire.Number = 5
	headerMode        protowire.Number = 8
	headerProperties  protowire.Number = 12
)

// source is a message as a selector sees it.
type source struct {
	m      *message
	header []byte
	fields int // that were passed over
}

// selects evaluates sel on m, and takes the steps for it.
func (s *state) selects(sel *selector.Selector, m *message) bool {
	src := &s.m.source
	src.open(m)
	verdict, steps := sel.Eval(src)
	s.steps -= steps + src.fields/4
	src.close()
	return verdict == selector.True
}

// open finds the header of m.
func (s *source) open(m *message) {
	s.m, s.header, s.fields = m, nil, 0
	for b := m.data; len(b) > 0; {
		f, n := pb.Next(b)
		if n < 0 {
			break
		}
		if b = b[n:]; f.Number == messageHeader && f.Type == protowire.BytesType {
			s.header = f.Bytes
		}
		s.fields++
	}
}

func (s *source) close() { s.m, s.header = nil, nil }

// Lookup is selector.Source.
func (s *source) Lookup(_ int, name string) selector.Value {
	m := s.m
	switch name {
	case "JMSPriority":
		return selector.Int(int64(m.priority))
	case "JMSMessageID":
		if !m.hasID() {
			return selector.Value{}
		}
		return selector.Text("ID:" + hex.EncodeToString(m.id[:]))
	case "JMSDeliveryMode":
		if m.flags&messagePersistent != 0 {
			return selector.Text("PERSISTENT")
		}
		return selector.Text("NON_PERSISTENT")
	case "JMSCorrelationID":
		return text(s.find(headerCorrelation))
	case "JMSType":
		return text(s.find(headerType))
	case "JMSTimestamp":
		if f, ok := s.find(headerTimestamp); ok && f.Type == protowire.VarintType {
			return selector.Int(int64(f.Bits))
		}
		return selector.Int(0) // as on topics
	case "JMSXDeliveryCount":
		return selector.Int(int64(m.count) + 1)
	case "JMSXGroupID":
		if g := m.group(); g != "" {
			return selector.Text(g)
		}
		return selector.Value{}
	case "JMSXGroupSeq":
		if m.group() != "" {
			return selector.Int(m.more.groupSeq)
		}
		return selector.Value{}
	case "JMS_Blaze_Queue":
		if m.more != nil && m.more.reason != ReasonNone {
			return selector.Text(Label(m.more.origin))
		}
	case "JMS_Blaze_Reason":
		if m.more != nil && m.more.reason != ReasonNone {
			return selector.Text(m.more.reason.String())
		}
	}
	return s.property(name)
}

func text(f pb.Field, ok bool) selector.Value {
	if !ok || f.Type != protowire.BytesType {
		return selector.Value{}
	}
	return selector.TextBytes(f.Bytes)
}

// find returns a field of the header.
func (s *source) find(number protowire.Number) (found pb.Field, ok bool) {
	for b := s.header; len(b) > 0; {
		f, n := pb.Next(b)
		if n < 0 {
			break
		}
		s.fields++
		if b = b[n:]; f.Number == number {
			found, ok = f, true
		}
	}
	return found, ok
}

// property returns the value of an entry of the header's properties.
func (s *source) property(name string) (v selector.Value) {
	for b := s.header; len(b) > 0; {
		f, n := pb.Next(b)
		if n < 0 {
			break
		}
		s.fields++
		if b = b[n:]; f.Number != headerProperties || f.Type != protowire.BytesType {
			continue
		}
		var value []byte
		match := false
		for e := f.Bytes; len(e) > 0; {
			g, size := pb.Next(e)
			if size < 0 {
				break
			}
			e = e[size:]
			switch {
			case g.Type != protowire.BytesType:
			case g.Number == 1:
				match = string(g.Bytes) == name
			case g.Number == 2:
				value = g.Bytes
			}
		}
		if match {
			v = valueOf(value)
		}
	}
	return v
}

// valueOf is a Value of blaze.proto as selectors have it.
func valueOf(b []byte) (v selector.Value) {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return selector.Value{}
		}
		b = b[n:]
		switch f.Number {
		case 1, 5, 6, 7: // int8, int16, int32, int64
			v = selector.Int(protowire.DecodeZigZag(f.Bits))
		case 4:
			v = selector.Bool(f.Bits != 0)
		case 8:
			v = selector.Float(float64(math.Float32frombits(uint32(f.Bits))))
		case 9:
			v = selector.Float(math.Float64frombits(f.Bits))
		case 10:
			v = selector.TextBytes(f.Bytes)
		case 2, 3, 11:
			v = selector.Other()
		}
	}
	return v
}
