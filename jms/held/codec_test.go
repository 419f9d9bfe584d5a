package held

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

var update = flag.Bool("update", false, "write testdata/*.hex anew")

func anyMessage(rng *rand.Rand) Message {
	m := Message{
		Priority: uint8(rng.IntN(10)), Expires: rng.Int64N(3), Due: rng.Int64N(2) << 40, GroupSeq: rng.Int64N(5) - 2,
		Part: rng.Uint64N(2), Again: rng.IntN(2) == 0, Persistent: rng.IntN(2) == 0, Count: rng.Uint32N(3), Reason: Reason(rng.IntN(3)),
		Number: rng.Uint64N(2) * 500, Consumer: rng.Uint64N(2), Size: rng.Uint64N(2) << 33, Place: rng.Uint64N(2) << 62,
		From: rng.Uint64N(2), Delivery: rng.Uint64N(2), Session: rng.Uint32N(2), Sender: Member{0: byte(rng.IntN(2))},
	}
	if rng.IntN(2) == 0 {
		m.ID = bytes.Repeat([]byte{9}, idLen)
	}
	m.Data = bytesOrNil(rng, []int{0, 3, 127, 128, 20_000}[rng.IntN(5)])
	m.Group, m.Queue = bytesOrNil(rng, rng.IntN(3)), bytesOrNil(rng, rng.IntN(3))
	return m
}

func bytesOrNil(rng *rand.Rand, n int) []byte {
	if n == 0 {
		return nil
	}
	return bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, n)
}

func anyOp(rng *rand.Rand) Op {
	o := Op{
		Kind: Kind(1 + rng.IntN(28)), Conn: rng.Uint64N(2), Counter: rng.Uint64N(2) * 300, Low: rng.Uint64N(2), Session: rng.Uint32N(2),
		Queue: bytesOrNil(rng, rng.IntN(3)), Consumer: rng.Uint64N(2), Limit: rng.Uint64N(2), Flags: rng.Uint64N(128),
		Selector: bytesOrNil(rng, rng.IntN(2)), Topic: bytesOrNil(rng, rng.IntN(2)), Name: bytesOrNil(rng, rng.IntN(2)),
		Origin: Member{3: byte(rng.IntN(2))}, After: rng.Uint64N(2), To: Member{4: byte(rng.IntN(2))}, Data: bytesOrNil(rng, rng.IntN(300)),
	}
	if rng.IntN(2) == 0 {
		o.HasMessage, o.Message = true, anyMessage(rng)
	}
	for range rng.IntN(3) * rng.IntN(100) {
		o.Numbers = append(o.Numbers, rng.Uint64()>>rng.IntN(64))
	}
	if rng.IntN(2) == 0 {
		s := Settings{
			Depth: rng.Uint64N(2), Bytes: rng.Uint64N(2), MaxRedeliveries: rng.Int64N(3) - 1, RedeliveryDelay: rng.Int64N(3),
			Doubling: rng.IntN(2) == 0, DeadLetterExpired: rng.IntN(2) == 0, NoAutoCreate: rng.IntN(2) == 0,
			HolderDepth: rng.Uint64N(2), HolderBytes: rng.Uint64N(2),
		}
		o.Settings = &s
	}
	for n := rng.IntN(8) - 5; n > 0; n-- {
		item := anyOp(rng)
		o.Batch = append(o.Batch, item.Append(nil))
	}
	return o
}

func anyAnswer(rng *rand.Rand) Answer {
	a := Answer{Code: Code(rng.IntN(17)), Counter: rng.Uint64N(2), Next: rng.Uint64N(2), Value: rng.Uint64N(2), More: rng.IntN(2) == 0}
	for range rng.IntN(2) {
		h := Holding{Member: Member{2: byte(rng.IntN(2))}, Client: "c"[:rng.IntN(2)], InFlight: rng.Uint64N(2), Since: rng.Int64N(2)}
		for range rng.IntN(3) {
			h.Queues = append(h.Queues, "q"[:rng.IntN(2)])
		}
		a.Holding = append(a.Holding, h)
	}
	for n := rng.IntN(8) - 5; n > 0; n-- {
		item := anyAnswer(rng)
		a.Answers = append(a.Answers, item.Append(nil))
	}
	if rng.IntN(2) == 0 {
		a.Detail = "selector:3: no"
	}
	for range rng.IntN(3) {
		a.Messages = append(a.Messages, anyMessage(rng))
	}
	for range rng.IntN(3) {
		q := QueueStats{Name: "q", Oldest: rng.Int64N(2), Topic: "t"[:rng.IntN(2)]}
		for _, p := range q.numbers() {
			if p != nil {
				*p = rng.Uint64N(2) * rng.Uint64()
			}
		}
		a.Queues = append(a.Queues, q)
	}
	return a
}

func anyNotice(rng *rand.Rand) Notice {
	n := Notice{To: Member{1: byte(rng.IntN(2))}, Conn: rng.Uint64N(2), Kind: NoticeKind(rng.IntN(5)), Consumer: rng.Uint64N(2),
		Counter: rng.Uint64N(2), Queue: "q"[:rng.IntN(2)]}
	for range rng.IntN(3) {
		n.Messages = append(n.Messages, anyMessage(rng))
	}
	return n
}

// What is appended is what the generated code writes, and both read it alike.
func TestCodecAgainstGenerated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var op, op2 Op
		var answer, answer2 Answer
		var notice, notice2 Notice
		op, answer, notice = anyOp(rng), anyAnswer(rng), anyNotice(rng)
		for _, c := range []struct {
			name      string
			b         []byte
			generated proto.Message
			parse     func([]byte) bool
			got, want any
		}{
			{"op", op.Append(nil), &wirepb.JmsOperation{}, op2.Parse, &op2, &op},
			{"answer", answer.Append(nil), &wirepb.JmsAnswer{}, answer2.Parse, &answer2, &answer},
			{"notice", notice.Append(nil), &wirepb.JmsNotice{}, notice2.Parse, &notice2, &notice},
		} {
			if err := proto.Unmarshal(c.b, c.generated); err != nil {
				t.Fatalf("%s %x: %v", c.name, c.b, err)
			}
			if n := unknown(c.generated.ProtoReflect()); n > 0 {
				t.Fatalf("%s %x: %d bytes that blaze.proto does not have", c.name, c.b, n)
			}
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.generated)
			if err != nil || !bytes.Equal(again, c.b) {
				t.Fatalf("%s\n%x, generated code writes\n%x %v", c.name, c.b, again, err)
			}
			if !c.parse(c.b) || !reflect.DeepEqual(c.got, c.want) {
				t.Fatalf("%s %x is read as\n%+v, was\n%+v", c.name, c.b, c.got, c.want)
			}
		}
	}
}

func unknown(m protoreflect.Message) (n int) {
	n = len(m.GetUnknown())
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				n += unknown(v.List().Get(i).Message())
			}
		default:
			n += unknown(v.Message())
		}
		return true
	})
	return n
}

// The holder's signature counts, whatever the client wrote in its place.
func TestSign(t *testing.T) {
	forged := Op{Kind: KindEnd, Conn: 1, Origin: Member{1}}
	var op Op
	if !op.Parse(Sign(forged.Append(nil), Member{2})) || op.Origin != (Member{2}) {
		t.Errorf("the operation is from %v", op.Origin)
	}
}

// What is out of its bounds is no operation.
func TestMalformedOps(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, MaxName+1)
	for _, c := range []struct {
		name string
		op   Op
	}{
		{"no kind", Op{Conn: 1}},
		{"a long name", Op{Kind: KindPut, Queue: long}},
		{"a name that is not UTF-8", Op{Kind: KindPut, Queue: []byte{0xFF}}},
		{"a long topic", Op{Kind: KindPublish, Topic: long}},
		{"257 numbers", Op{Kind: KindSettle, Numbers: make([]uint64, MaxNumbers+1)}},
		{"an id of 23 bytes", Op{Kind: KindPut, HasMessage: true, Message: Message{ID: make([]byte, 23)}}},
		{"priority 10", Op{Kind: KindPut, HasMessage: true, Message: Message{Priority: 10}}},
		{"priority 200", Op{Kind: KindPut, HasMessage: true, Message: Message{Priority: 200}}},
		{"a negative expiry", Op{Kind: KindPut, HasMessage: true, Message: Message{Expires: -1}}},
		{"a negative delivery time", Op{Kind: KindPut, HasMessage: true, Message: Message{Due: -1}}},
		{"a long group", Op{Kind: KindPut, HasMessage: true, Message: Message{Group: long}}},
		{"redeliveries below -1", Op{Kind: KindConfigure, Settings: &Settings{MaxRedeliveries: -2}}},
		{"a delay above an hour", Op{Kind: KindConfigure, Settings: &Settings{RedeliveryDelay: maxRedeliveryDelay + 1}}},
		{"a session of 33 bits", Op{}},
		{"two messages", Op{}},
		{"an origin of 15 bytes", Op{}},
		{"a batch of 65", Op{Kind: KindBatch, Batch: make([][]byte, MaxBatch+1)}},
	} {
		b := c.op.Append(nil)
		switch c.name {
		case "a session of 33 bits":
			b = appendNumber([]byte{8, 1}, 5, 1<<32)
		case "two messages":
			b = []byte{8, 3, 0x42, 0, 0x42, 0}
		case "an origin of 15 bytes":
			b = appendBytes([]byte{8, 3}, 16, make([]byte, 15))
		}
		var op Op
		if op.Parse(b) {
			t.Errorf("%s is read", c.name)
		}
		m := New(holder)
		var a Answer
		if !a.Parse(m.Apply(b, holder, 1)) || a.Code != CodeMalformed {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

// The vectors: testdata/NAME.hex. Every strict prefix of one is another operation, or none, and never a panic.
func TestGolden(t *testing.T) {
	sender := Member(bytes.Repeat([]byte{0xAB}, 16))
	id := append(bytes.Repeat([]byte{0xAB}, 16), 0, 0, 0, 0, 0, 0, 1, 2)
	put := Op{
		Kind: KindPut, Conn: 1, Counter: 7, Low: 5, Queue: []byte("orders"), HasMessage: true, Flags: FlagWait, Origin: sender,
		Message: Message{ID: id, Data: []byte{0x12, 3, 'b', 'u', 'y'}, Priority: 4, Expires: 1_700_000_060_000, Group: []byte("g"), GroupSeq: -1, Persistent: true},
	}
	commit := Op{Kind: KindCommit, Conn: 1, Counter: 8, Low: 8, Session: 2, Numbers: []uint64{3, 300}, Origin: sender}
	configure := Op{Kind: KindConfigure, Conn: 1, Counter: 9, Queue: []byte("orders"), Origin: sender,
		Settings: &Settings{Depth: 1000, MaxRedeliveries: -1, RedeliveryDelay: 500, Doubling: true}}
	taken := Answer{Code: CodeLater, Counter: 9, Messages: []Message{{
		ID: id, Data: []byte{0x12, 3, 'b', 'u', 'y'}, Priority: 4, Count: 2, Number: 300, Consumer: 5, Session: 2, Sender: sender, From: 1, Persistent: true,
	}}}
	list := Answer{Queues: []QueueStats{{Name: "orders", Depth: 2, Bytes: 200, Put: 3, Taken: 1, Settled: 1, Oldest: 1_700_000_000_000}}, More: true}
	batch := Op{Kind: KindBatch, Origin: sender}
	settle := Op{Kind: KindSettle, Conn: 2, Counter: 4, Low: 3, Session: 1, Numbers: []uint64{300}}
	take := Op{Kind: KindTake, Conn: 2, Counter: 5, Low: 3, Consumer: 5, Limit: 33, Flags: FlagWait}
	for _, o := range []Op{settle, take} {
		batch.Batch = append(batch.Batch, o.Append(nil))
	}
	answers := Answer{}
	for _, a := range []Answer{{Counter: 4}, {Code: CodeLater, Counter: 5}} {
		answers.Answers = append(answers.Answers, a.Append(nil))
	}
	notice := Notice{To: sender, Conn: 1, Kind: NoticeMessage, Consumer: 5, Messages: taken.Messages}
	room := Notice{To: sender, Conn: 1, Kind: NoticeRoom, Queue: "orders"}
	for _, g := range []struct {
		name string
		b    []byte
		desc protoreflect.MessageDescriptor
	}{
		{"op-put", put.Append(nil), (&wirepb.JmsOperation{}).ProtoReflect().Descriptor()},
		{"op-commit", commit.Append(nil), (&wirepb.JmsOperation{}).ProtoReflect().Descriptor()},
		{"op-configure", configure.Append(nil), (&wirepb.JmsOperation{}).ProtoReflect().Descriptor()},
		{"op-batch", batch.Append(nil), (&wirepb.JmsOperation{}).ProtoReflect().Descriptor()},
		{"answer-batch", answers.Append(nil), (&wirepb.JmsAnswer{}).ProtoReflect().Descriptor()},
		{"answer-taken", taken.Append(nil), (&wirepb.JmsAnswer{}).ProtoReflect().Descriptor()},
		{"answer-list", list.Append(nil), (&wirepb.JmsAnswer{}).ProtoReflect().Descriptor()},
		{"notices", AppendNotice(AppendNotice(nil, &notice), &room), (&wirepb.JmsNotices{}).ProtoReflect().Descriptor()},
	} {
		file := filepath.Join("testdata", g.name+".hex")
		text := fmt.Sprintf("# One %s, %d bytes. Written by go test ./jms/held -update; read the diff before you commit it.\n%s",
			g.desc.Name(), len(g.b), dump(g.b, g.desc, ""))
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var digits strings.Builder
		for line := range strings.Lines(string(have)) {
			line, _, _ = strings.Cut(line, "#")
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
		if b, err := hex.DecodeString(digits.String()); err != nil || !bytes.Equal(b, g.b) {
			t.Errorf("%s is\n%x, was\n%x %v", g.name, g.b, b, err)
		}
		for n := range len(g.b) {
			var op Op
			var a Answer
			var no Notice
			op.Parse(g.b[:n])
			a.Parse(g.b[:n])
			no.Parse(g.b[:n])
			ParseNotices(g.b[:n], func(*Notice) {})
		}
	}
}

// dump shows a message field by field.
func dump(b []byte, desc protoreflect.MessageDescriptor, indent string) string {
	var out strings.Builder
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		fd := desc.Fields().ByNumber(num)
		if typ == protowire.VarintType {
			v, size := protowire.ConsumeVarint(b[n:])
			fmt.Fprintf(&out, "% x # %s%s = %d\n", b[:n+size], indent, fd.Name(), v)
			b = b[n+size:]
			continue
		}
		body, size := protowire.ConsumeBytes(b[n:])
		head := n + size - len(body)
		if fd.Message() != nil {
			fmt.Fprintf(&out, "% x # %s%s: %d bytes\n%s", b[:head], indent, fd.Name(), len(body), dump(body, fd.Message(), indent+"  "))
		} else {
			fmt.Fprintf(&out, "% x # %s%s: %d bytes\n", b[:n+size], indent, fd.Name(), len(body))
		}
		b = b[n+size:]
	}
	return out.String()
}

// Whatever comes is read without a panic, and what is read is written in one way.
func FuzzOp(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		op := anyOp(rng)
		f.Add(op.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var op, op2 Op
		if !op.Parse(b) {
			return
		}
		c := op.Append(nil)
		if !op2.Parse(c) || !bytes.Equal(op2.Append(nil), c) {
			t.Errorf("%x is written as %x", b, c)
		}
	})
}
