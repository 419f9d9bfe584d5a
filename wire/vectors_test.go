package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/internal/vectors"
	"github.com/activeblaze/blaze/wire"
	"github.com/activeblaze/blaze/wire/wirepb"
)

// object is a JSON object whose fields keep their order.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		value, err := vectors.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(append(append(name, ':'), value...))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// vectors.json is what this package answers, and other codecs must answer the same.
func TestVectors(t *testing.T) {
	var datagrams []object
	names := map[string]bool{}
	required := wire.RequiredFields(t)
	verdicts := map[string]int{}
	for _, v := range wire.Vectors(t) {
		if len(v.Bytes) > wire.MaxDatagram {
			continue // no datagram is so long
		}
		if names[v.Name] {
			t.Errorf("two vectors are called %q", v.Name)
		}
		names[v.Name] = true
		o := datagram(t, v, required)
		verdicts[o[1].value.(string)]++
		datagrams = append(datagrams, o)
	}
	for _, verdict := range []string{"canonical", "valid", "malformed", "range", "version", "checksum"} {
		if verdicts[verdict] == 0 {
			t.Errorf("no vector is %s", verdict)
		}
	}
	vectors.Compare(t, filepath.Join("testdata", "vectors.json"), "go test ./wire -run TestVectors -update", *wire.Update,
		vectors.ListOf(t, "datagrams", datagrams), vectors.ListOf(t, "clusters", clusters()), vectors.ListOf(t, "topics", topics()),
		vectors.ListOf(t, "matches", matches()), vectors.ListOf(t, "lanes", laneVectors()),
		vectors.ListOf(t, "coefficients", coefficients()), vectors.ListOf(t, "blocks", blocks(t)),
		vectors.ListOf(t, "cluster_messages", clusterMessages(t)), vectors.ListOf(t, "cluster_required", clusterRequired(t)))
}

// clusterMessages has what members of a cluster send each other, as payloads of a ring and as items of a pair.
func clusterMessages(t *testing.T) (list []object) {
	required, verdicts := wire.RequiredOfClusters(t), map[string]int{}
	for _, v := range wire.ClusterVectors(t) {
		verdict := "canonical"
		switch {
		case errors.Is(v.Err, wire.ErrMalformed):
			verdict = "malformed"
		case errors.Is(v.Err, wire.ErrRange):
			verdict = "range"
		case v.Err != nil:
			t.Fatal(v.Err)
		}
		o := object{{"name", v.Name}, {"type", string(v.Root.ProtoReflect().Descriptor().Name())}}
		if v.Err == nil {
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(v.Bytes, v.Root); err != nil {
				t.Fatal(err)
			}
			if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(v.Root); err != nil || !bytes.Equal(again, v.Bytes) {
				verdict = "valid"
			}
		}
		verdicts[verdict]++
		o = append(o, member{"verdict", verdict}, member{"bytes", hex.EncodeToString(v.Bytes)})
		if v.Err == nil {
			o = append(o, member{"message", fieldsOf(v.Root.ProtoReflect(), required)})
		}
		list = append(list, o)
	}
	for _, verdict := range []string{"canonical", "valid", "malformed", "range"} {
		if verdicts[verdict] == 0 {
			t.Errorf("no message of a cluster is %s", verdict)
		}
	}
	return list
}

// clusterRequired names the fields of these messages without which they are malformed.
func clusterRequired(t *testing.T) (list []object) {
	for _, name := range slices.Sorted(maps.Keys(wire.RequiredOfClusters(t))) {
		list = append(list, object{{"field", name}})
	}
	return list
}

func datagram(t *testing.T, v wire.Vector, required map[string]bool) object {
	t.Helper()
	var d wire.Datagram
	err := wire.Decode(v.Bytes, &d)
	verdict := "canonical"
	switch {
	case errors.Is(err, wire.ErrMalformed):
		verdict = "malformed"
	case errors.Is(err, wire.ErrRange):
		verdict = "range"
	case errors.Is(err, wire.ErrVersion):
		verdict = "version"
	case errors.Is(err, wire.ErrChecksum):
		verdict = "checksum"
	case err != nil:
		t.Fatal(err)
	case !d.Canonical:
		verdict = "valid"
	}
	o := object{{"name", v.Name}, {"verdict", verdict}, {"bytes", hex.EncodeToString(v.Bytes)}}
	if err != nil {
		return o
	}
	var pb wirepb.Datagram
	if err := proto.Unmarshal(v.Bytes, &pb); err != nil {
		t.Fatal(err)
	}
	for _, data := range pb.Data {
		last := ""
		for _, m := range data.Messages {
			if m.Topic == nil {
				m.Topic = &last
			}
			last = *m.Topic
		}
	}
	header := object{{"cluster", strconv.FormatUint(d.Cluster, 10)}, {"transmitter", hex.EncodeToString(d.Transmitter[:])},
		{"incarnation", d.Incarnation}, {"stream", uint32(d.Stream)}}
	var frames []object
	m := pb.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if !fd.IsList() {
			continue
		}
		for i := range m.Get(fd).List().Len() {
			frames = append(frames, object{{string(fd.Name()), fieldsOf(m.Get(fd).List().Get(i).Message(), required)}})
		}
	}
	if len(frames) != len(d.Frames()) {
		t.Errorf("%s: %d frames, and %d for generated code", v.Name, len(d.Frames()), len(frames))
	}
	if frames == nil {
		frames = []object{}
	}
	o = append(o, member{"header", header}, member{"frames", frames})
	if bytes.Equal(wire.Written(&d), v.Bytes) {
		o = append(o, member{"written", true})
	}
	return o
}

// fieldsOf has the fields of a message by their names in blaze.proto. One that may be missing is left out when it is
// zero; of a message in a Data nothing is, and its topic is there.
func fieldsOf(m protoreflect.Message, required map[string]bool) object {
	o := object{}
	name := string(m.Descriptor().Name())
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		v := m.Get(fd)
		if name != "Packed" && (!m.Has(fd) || !required[name+"."+string(fd.Name())] && name != "Leave" && isZero(fd, v)) {
			continue
		}
		switch {
		case fd.IsList():
			list := []any{}
			for i := range v.List().Len() {
				list = append(list, valueOf(fd, v.List().Get(i), required))
			}
			o = append(o, member{string(fd.Name()), list})
		default:
			o = append(o, member{string(fd.Name()), valueOf(fd, v, required)})
		}
	}
	return o
}

func isZero(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	switch {
	case fd.IsList() || fd.Message() != nil:
		return false
	case fd.Kind() == protoreflect.BytesKind:
		return len(v.Bytes()) == 0
	case fd.Kind() == protoreflect.StringKind:
		return v.String() == "" && fd.Parent().Name() != "Item" // of an in-box
	}
	return v.Equal(fd.Default())
}

func valueOf(fd protoreflect.FieldDescriptor, v protoreflect.Value, required map[string]bool) any {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return fieldsOf(v.Message(), required)
	case protoreflect.BytesKind:
		return hex.EncodeToString(v.Bytes())
	case protoreflect.Fixed64Kind:
		return strconv.FormatUint(v.Uint(), 10)
	case protoreflect.EnumKind:
		return int32(v.Enum())
	}
	return v.Interface()
}

// text is a text for a vector: its bytes, and for people itself where it can be shown.
func text(name, s string) object {
	o := object{{name, hex.EncodeToString([]byte(s))}}
	if utf8.ValidString(s) {
		o = append(o, member{name + "_text", s})
	}
	return o
}

func clusters() (list []object) {
	for _, s := range []string{"", "a", "foobar", "test", "blaze", "Größe.温度", strings.Repeat("x", 300)} {
		list = append(list, append(text("name", s), member{"cluster", strconv.FormatUint(wire.ClusterHash(s), 10)}))
	}
	return list
}

// topics has what Validate and ValidatePattern answer.
func topics() (list []object) {
	long := strings.Repeat("x", 255)
	texts := []string{"a", "prices.eu.bund", "Größe.温度", "with space.and/slash", "#.+", long, long + "x", strings.Repeat("é", 127), strings.Repeat("é", 128), "",
		".", ".a", "a.", "a..b", "a.\xff", "a.\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\U00010000", "\u0800", "\uffff", "\u0080x", "\u07ff",
		"a.\x00", "a\n.b", "\x1f", "\x20", "\x7f", "a.\u0085", "\u009f", "\u00a0", "\u200b", "\u2028", "\ufeff", "*", ">", "a.*.b", "*.*", "a.>", "*.>", ">.>",
		"a.>.b", ">.a", "a*", "a.b>", "**", "a.*>", "*a.b"}
	for _, s := range texts {
		list = append(list, append(text("topic", s), member{"publish", topic.Validate(s) == nil}, member{"subscribe", topic.ValidatePattern(s) == nil}))
	}
	return list
}

// matches has what Match answers, also for topics that nobody may publish on and that come all the same.
func matches() (list []object) {
	topics := []string{"", ".", "a", "a.", ".a", "aa", "ab", "a.b", "a.bb", "a.b.c", "a.b.b.c", "a.b.c.d", "a..c", "b", "b.b", "xyz.b", "*", "a.*", ">", "é", "e\u0301"}
	for _, p := range []string{"a", "a.b", "*", "a.*", "*.b", "a.*.c", "*.*", ">", "a.>", "a.b.>", "*.>", "a.*.>", "é"} {
		for _, s := range topics {
			list = append(list, append(append(text("pattern", p), text("topic", s)...), member{"match", topic.Match(p, []byte(s))}))
		}
	}
	return list
}

// laneVectors has the lanes of topics, and their FNV-1a of 32 bits.
func laneVectors() (list []object) {
	for _, s := range []string{"a", "b", "foobar", "prices.eu.bund", "prices.EURUSD", "Größe.温度", strings.Repeat("x", 255), "\xff"} {
		h := fnv.New32a()
		_, _ = h.Write([]byte(s))
		o := append(text("topic", s), member{"fnv1a", h.Sum32()})
		of := []object{}
		for _, n := range []int{1, 2, 3, 7, 8, 64, 65536} {
			lane := lanes.Of(s, n)
			if n > 1 && uint32(lane) != h.Sum32()%uint32(n) || n == 1 && lane != 0 {
				panic("the rule is another one")
			}
			of = append(of, object{{"lanes", n}, {"lane", lane}})
		}
		list = append(list, append(o, member{"of", of}))
	}
	return list
}

// coefficients has the rows of the matrix of scheme 1: row r is a(r, 0) to a(r, 63).
func coefficients() (list []object) {
	for r := range fec.MaxSymbol - 1 {
		var row []byte
		for c := range fec.MaxSource {
			row = append(row, fec.Coefficient(r, c))
		}
		list = append(list, object{{"index", r}, {"row", hex.EncodeToString(row)}})
	}
	return list
}

// blocks has blocks of source datagrams, some of which are lost, with the Repair datagrams that bring them back.
func blocks(t *testing.T) (list []object) {
	rng := rand.New(rand.NewPCG(23, 1))
	for _, b := range []struct {
		name                   string
		sources, repairs, unit int
		lost, with             []int
	}{
		{"nothing lost", 3, 1, 1, nil, []int{0}},
		{"one of one", 1, 1, 1, []int{0}, []int{0}},
		{"one of three, by the second symbol", 3, 2, 1, []int{1}, []int{1}},
		{"two of five, in strides of 3", 5, 2, 3, []int{0, 4}, []int{0, 1}},
		{"all of four", 4, 4, 1, []int{0, 1, 2, 3}, []int{0, 1, 2, 3}},
		{"three of twenty, by symbols that were asked for", 20, 2, 1, []int{3, 4, 19}, []int{1, 2, 107}},
		{"sixty-four sources, the last index", 64, 3, 1, []int{0, 31, 63}, []int{0, 62, 63}},
	} {
		h := wire.Header{Cluster: wire.ClusterHash("test"), Transmitter: wire.MemberID{0xA0, 1}, Incarnation: 0, Stream: wire.NewStreamID(wire.FEC, 2)}
		var datagrams, symbols [][]byte
		longest := 0
		for i := range b.sources {
			mem := make([]byte, 600)
			var w wire.DataWriter
			w.Begin(mem, 500, h, uint64(1000+i*b.unit), uint64(5000+i))
			payload := make([]byte, rng.IntN(60))
			for k := range payload {
				payload[k] = byte(rng.Uint32())
			}
			w.Add("fec.é", wire.KindRaw, payload)
			off, n := w.Finish()
			d := mem[off : off+n]
			crc, body, ok := wire.SourceOf(d)
			if !ok {
				t.Fatal("no source")
			}
			datagrams, symbols = append(datagrams, d), append(symbols, wire.AppendSource(nil, crc, body))
			longest = max(longest, len(symbols[i]))
		}
		repairs := []object{}
		for _, index := range b.with {
			symbol := make([]byte, longest)
			for c, s := range symbols {
				fec.AccumulateRow(symbol, index, c, s)
			}
			d := wire.AppendRepair(wire.AppendHeader(nil, h), &wire.Repair{Block: 1000, Scheme: 1, Stride: uint8(b.unit), Sources: uint8(b.sources),
				Repairs: uint8(b.repairs), Index: uint8(index), Symbol: symbol})
			wire.Seal(d)
			repairs = append(repairs, object{{"index", index}, {"bytes", hex.EncodeToString(d)}})
		}
		sources := []object{}
		for i, d := range datagrams {
			o := object{{"bytes", hex.EncodeToString(d)}, {"symbol", hex.EncodeToString(symbols[i])}}
			for _, l := range b.lost {
				if l == i {
					o = append(o, member{"lost", true})
				}
			}
			sources = append(sources, o)
		}
		list = append(list, object{{"name", b.name}, {"sources", sources}, {"repairs", repairs}})
	}
	return list
}
