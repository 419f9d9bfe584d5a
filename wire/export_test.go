package wire

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// Update is the flag -update, for the tests outside the package.
var Update = update

// RequiredFields is requiredFields of a Datagram.
func RequiredFields(t *testing.T) map[string]bool { return requiredFields(t, &wirepb.Datagram{}) }

// Written is what this package writes for a datagram that was decoded.
func Written(d *Datagram) []byte { return appendPlain(plainOf(d)) }

// A Vector is a datagram that every codec is tested with.
type Vector struct {
	Name  string
	Bytes []byte
}

// Vectors lists the datagrams that vectors.json has: the golden ones, each in other layouts and without each of its
// required fields; both sides of every bound; and every number of the frames of topics at its edges.
func Vectors(t *testing.T) (list []Vector) {
	add := func(name string, b []byte) { list = append(list, Vector{name, bytes.Clone(b)}) }
	desc := (&wirepb.Datagram{}).ProtoReflect().Descriptor()
	for _, g := range golden {
		add(g.name, goldenBytes(t, g.name))
	}
	for _, r := range layoutRows() {
		add("layout: "+r.name, datagramOf(r.bytes))
	}
	for _, r := range layoutRowsGroup() {
		add("layout: "+r.name, datagramOf(r.bytes))
	}
	rng := newRand(19)
	for _, g := range golden {
		for i, name := range []string{"permuted", "with unknown fields", "with long varints", "with all three"} {
			w := rewriter{rng, i == 0 || i == 3, i == 1 || i == 3, i == 2 || i == 3}
			add(g.name+", "+name, reseal(w.rewrite(goldenBytes(t, g.name), desc)))
		}
	}
	headerVectors(add)
	for _, rows := range [][]boundRow{boundRows(), boundRowsFEC(), boundRowsTotem(), boundRowsGroup()} {
		for _, r := range rows {
			add(r.name, datagramOf(r.bytes))
		}
	}
	required, dropped := RequiredFields(t), map[string]bool{}
	eachGoldenField(t, func(pb *wirepb.Datagram, m protoreflect.Message, fd protoreflect.FieldDescriptor, name string) {
		if required[name] && !dropped[name] {
			dropped[name] = true
			was := m.Get(fd)
			m.Clear(fd)
			add("missing: "+name, sealed(t, pb))
			m.Set(fd, was)
		}
	})
	edgeVectors(t, add)
	return list
}

// A ClusterVector is a ClusterMessage or a Transfer, with what this package says of it.
type ClusterVector struct {
	Vector
	Root proto.Message // what generated code reads it as
	Err  error
}

// RequiredOfClusters is requiredFields of what members of a cluster send each other.
func RequiredOfClusters(t *testing.T) map[string]bool {
	return requiredFields(t, &wirepb.ClusterMessage{}, &wirepb.Transfer{})
}

// ClusterVectors lists the golden messages of clusters, each in other layouts and without each of its required fields; and
// every field of bytes and every list with an element too many.
func ClusterVectors(t *testing.T) (list []ClusterVector) {
	rng, dropped, required := newRand(23), map[string]bool{}, RequiredOfClusters(t)
	for _, v := range clusterVectors {
		transfer := isTransfer(v.name)
		add := func(name string, b []byte) {
			_, err := parseClusterAny(b, transfer)
			list = append(list, ClusterVector{Vector{name, bytes.Clone(b)}, clusterRoot(transfer), err})
		}
		b, pb := goldenBytes(t, v.name), clusterRoot(transfer)
		add(v.name, b)
		for i, name := range []string{"permuted", "with unknown fields", "with long varints", "with all three"} {
			w := rewriter{rng, i == 0 || i == 3, i == 1 || i == 3, i == 2 || i == 3}
			add(v.name+", "+name, w.rewrite(b, pb.ProtoReflect().Descriptor()))
		}
		if err := proto.Unmarshal(b, pb); err != nil {
			t.Fatal(err)
		}
		eachField(pb.ProtoReflect(), func(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
			name := string(m.Descriptor().Name()) + "." + string(fd.Name())
			if dropped[name] {
				return
			}
			dropped[name] = true
			was := m.Get(fd)
			switch {
			case fd.IsList():
				was = m.NewField(fd)
				for i := range m.Get(fd).List().Len() {
					was.List().Append(m.Get(fd).List().Get(i))
				}
				for m.Mutable(fd).List().Len() <= 64 && fd.Name() != "entries" {
					m.Mutable(fd).List().Append(was.List().Get(0))
				}
				add("65 of them: "+name, marshal(pb))
			case fd.Kind() == protoreflect.BytesKind:
				m.Set(fd, protoreflect.ValueOfBytes(append(bytes.Clone(was.Bytes()), 1)))
				add("a byte more: "+name, marshal(pb))
			}
			if required[name] {
				m.Clear(fd)
				add("missing: "+name, marshal(pb))
			}
			m.Set(fd, was)
		})
	}
	return list
}

// headerVectors has what is about the header and the CRC.
func headerVectors(add func(string, []byte)) {
	h := AppendHeader(nil, testHeader())
	fields := [][]byte{h[:5], h[5:14], h[14:19], h[19:37], h[37:42], h[42:47]}
	add("header: cluster before version", reseal(cat(fields[1], fields[0], cat(fields[2:]...))))
	add("header: the CRC last, which covers nothing then", reseal(cat(fields[0], fields[1], cat(fields[3:]...), fields[2])))
	for i, f := range fields {
		if i != 2 {
			add(fmt.Sprintf("header: field %d a second time, behind", i+1), reseal(cat(h, f)))
			add(fmt.Sprintf("header: field %d a second time, in front", i+1), reseal(cat(f, h)))
		}
		add(fmt.Sprintf("header: no field %d", i+1), reseal(cat(cat(fields[:i]...), cat(fields[i+1:]...))))
	}
	add("header: nothing at all", nil)
	add("header: a transmitter of 15 bytes", reseal(cat(cat(fields[:3]...), []byte{0x22, 15}, fields[3][2:17], fields[4], fields[5])))
	add("header: a transmitter of 17 bytes", reseal(cat(cat(fields[:3]...), []byte{0x22, 17}, fields[3][2:], []byte{0}, fields[4], fields[5])))

	b := datagramOf(AppendHeartbeat(nil, Heartbeat{First: 1, FirstMessage: 1, NextMessage: 1}))
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(b)
		change(b)
		return b
	}
	crc := func(from int) []byte {
		return with(func(b []byte) { putUint32(b[atCRC+1:], checksum(0, b[from:])) })
	}
	add("crc: right", crc(crcCovers))
	add("crc: of the frames alone", crc(HeaderLen))
	add("crc: of everything, with 0 in its place", with(func(b []byte) {
		putUint32(b[atCRC+1:], 0)
		putUint32(b[atCRC+1:], checksum(0, b))
	}))
	add("crc: without its last inversion", with(func(b []byte) { putUint32(b[atCRC+1:], ^checksum(0, b[crcCovers:])) }))
	add("crc: big-endian", with(func(b []byte) {
		b[15], b[16], b[17], b[18] = b[18], b[17], b[16], b[15]
	}))
	add("crc: a flipped bit in the last byte", with(func(b []byte) { b[len(b)-1] ^= 1 }))
	add("crc: a byte too many behind", append(bytes.Clone(b), 0))
	add("crc: of another cluster it is the same", with(func(b []byte) { b[atCluster+1] ^= 1 }))
	add("version 2 is judged before the CRC", with(func(b []byte) { b[atVersion+1], b[len(b)-1] = 2, b[len(b)-1]^1 }))
	add("version 0", with(func(b []byte) { b[atVersion+1] = 0 }))
	add("the CRC is judged before the frames", with(func(b []byte) { b[HeaderLen] = 0 }))
	offset := marshal(&wirepb.Data{Fragment: &wirepb.Fragment{Offset: proto.Uint32(3), Size: proto.Uint32(1)}})
	size := marshal(&wirepb.Data{Fragment: &wirepb.Fragment{Size: proto.Uint32(10)}})
	add("fragment: two are merged", datagramOf(frame(FrameData, cat(dataFrame(1, 1, part(7))[2:], offset, size))))
}

func putUint32(b []byte, v uint32) { copy(b, appendFixed32(nil, 1, v)[1:]) }

// eachGoldenField calls visit for every field of every golden datagram.
func eachGoldenField(t *testing.T, visit func(pb *wirepb.Datagram, m protoreflect.Message, fd protoreflect.FieldDescriptor, name string)) {
	for _, g := range golden {
		var pb wirepb.Datagram
		if err := proto.Unmarshal(goldenBytes(t, g.name), &pb); err != nil {
			t.Fatal(err)
		}
		all := map[string]func(){}
		var names []string
		eachField(pb.ProtoReflect(), func(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
			name := string(m.Descriptor().Name()) + "." + string(fd.Name())
			if all[name] == nil {
				names = append(names, name)
			}
			all[name] = func() { visit(&pb, m, fd, name) }
		})
		for _, name := range sortedNames(names) {
			all[name]()
		}
	}
}

// edgeVectors has every number of the header and the frames of topics at its edges, once.
func edgeVectors(t *testing.T, add func(string, []byte)) {
	ours := map[string]bool{"Datagram": true, "Data": true, "Fragment": true, "Nak": true, "Gap": true, "Heartbeat": true, "Status": true, "Start": true,
		"Leave": true, "Repair": true, "SymbolNak": true, "Need": true}
	seen := map[string]bool{}
	eachGoldenField(t, func(pb *wirepb.Datagram, m protoreflect.Message, fd protoreflect.FieldDescriptor, name string) {
		if seen[name] || !ours[string(m.Descriptor().Name())] || fd.Name() == "crc32c" || fd.IsList() {
			return
		}
		seen[name] = true
		var edges []protoreflect.Value
		switch fd.Kind() {
		case protoreflect.Fixed64Kind:
			for _, v := range []uint64{0, 1, 1<<32 - 1, 1 << 32, 1 << 63, math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64} {
				edges = append(edges, protoreflect.ValueOfUint64(v))
			}
		case protoreflect.Fixed32Kind, protoreflect.Uint32Kind:
			for _, v := range []uint32{0, 1, 127, 128, 1 << 16, 1<<16 + 1, 1 << 31, math.MaxUint32} {
				edges = append(edges, protoreflect.ValueOfUint32(v))
			}
		}
		was := m.Get(fd)
		for _, v := range edges {
			m.Set(fd, v)
			add(fmt.Sprintf("edge: %s = %v", name, v), sealed(t, pb))
		}
		m.Set(fd, was)
	})
}

func sortedNames(names []string) []string {
	slices.Sort(names)
	return names
}
