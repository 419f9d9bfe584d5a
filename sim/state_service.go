package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// stateService is the service that members run beside the maps: a ledger of all that it was given, whose answers hash all that
// came before. An operation is 8 bytes that no other one has, 8 bytes of a time at which a Tick is asked for, 0: none, and
// padding.
type stateService struct {
	m     *StateMember
	proc  check.Proc
	lines []byte // the state, with what follows: all operations
	stateLedger
}

// hosted is a state machine that a member runs beside the maps.
type hosted interface {
	cluster.Machine
	state() []byte // all that it holds; equal for equal states
}

// stateHost is the application of a process that hosts a state machine of its own: the queues, see HeldCluster.
type stateHost interface {
	hosted
	grouped(g *member.Group) // has the last word on what the process is in its group
	began()                  // the process runs
	leaves()                 // it ends in order
}

// stateLedger is what a stateService holds besides its lines.
type stateLedger struct {
	Count, Sum   uint64
	Wake, Ticked int64
}

// serviceName is the service's.
const serviceName = "ledger"

// serve gives a process the service, if it has one.
func (m *StateMember) serve(cfg *cluster.Config) {
	m.service, m.host, m.places = nil, nil, nil
	if !m.c.Service && m.c.Host == nil {
		return
	}
	proc := m.Proc
	cfg.Background = func(work func(over func() bool), then func(now clock.Time)) (cancel func()) {
		over := false
		m.c.Net.After(between(m.rng, 5*time.Millisecond), func() {
			m.whenRuns(proc, func() {
				work(func() bool { return over })
				then(m.local(m.c.Net.Now()))
			})
		})
		return func() { over = true }
	}
	if cfg.Observer && m.c.LackingObservers {
		return
	}
	name := serviceName
	if m.c.Host != nil {
		m.host = m.c.Host(m)
		m.service, name = m.host, heldService
	} else {
		m.service = &stateService{m: m, proc: proc}
	}
	cfg.Services = []cluster.Service{{Name: name, Machine: m.service}}
}

// propose makes an operation of the service.
func (m *StateMember) propose() {
	c := m.c
	c.values++
	size := 16 + m.rng.IntN(200)
	if chance(m.rng, c.Load.Large) {
		size = 16 + m.rng.IntN(c.Load.LargeTo)
	}
	data := make([]byte, size)
	binary.LittleEndian.PutUint64(data, c.Seed<<32|c.values)
	if m.rng.IntN(10) == 0 {
		wall := m.wall*1000 + int64(m.local(c.Net.Now()))
		binary.LittleEndian.PutUint64(data[8:], uint64(wall+int64(between(m.rng, 200*time.Millisecond))))
	}
	a := &stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: wire.ClusterOp{Kind: wire.OpService, Key: []byte(serviceName), Value: data}}}
	if m.begin(a) {
		m.limit(a)
	}
}

func (s *stateService) found(format string, args ...any) {
	s.m.c.Log.Found("MP-16", "node %d: %s", s.m.Node, fmt.Sprintf(format, args...))
}

// line goes on with the ledger.
func (s *stateService) line(kind byte, parts ...[]byte) {
	from := len(s.lines)
	s.lines = append(s.lines, kind)
	for _, p := range parts {
		s.lines = append(s.lines, p...)
	}
	s.Sum = check.Hash(binary.LittleEndian.AppendUint64(s.lines[from:len(s.lines):len(s.lines)], s.Sum))
	s.Count++
}

// Apply implements cluster.Machine, as the rest.
func (s *stateService) Apply(op *cluster.MachineOp) (answer []byte, ok bool) {
	s.line('a', op.By[:], binary.LittleEndian.AppendUint64(nil, op.Index), op.Data)
	if at := int64(binary.LittleEndian.Uint64(op.Data[8:])); at != 0 && (s.Wake == 0 || at < s.Wake) {
		s.Wake = at
	}
	answer = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.Count), s.Sum)
	if s.m.c.Odd != nil && s.m.c.Odd(s.m.Node) {
		answer[0]++
	}
	return answer, true
}

func (s *stateService) Gone(m wire.MemberID) bool {
	s.line('g', m[:])
	return true
}

func (s *stateService) Tick(now int64) bool {
	if now < s.Ticked {
		s.found("a tick at %d after one at %d", now, s.Ticked)
	}
	s.line('t', binary.LittleEndian.AppendUint64(nil, uint64(now)))
	s.Ticked = now
	if s.Wake != 0 && now >= s.Wake {
		s.Wake = 0
		s.m.c.Tally.Ticks++
	}
	return true
}

func (s *stateService) Next() (at int64, ok bool) { return s.Wake, s.Wake != 0 }

func (s *stateService) Certain(index uint64) { s.m.certainTo(index) }

// certainTo notes what may be told to others.
func (m *StateMember) certainTo(index uint64) {
	n := 0
	for ; n < len(m.places) && m.places[n].Index <= index; n++ {
		m.c.certain[m.places[n]] = true
	}
	m.places = m.places[n:]
}

func (s *stateService) state() []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, &s.stateLedger)
	return append(b, s.lines...)
}

type stateSnapshot struct {
	stateLedger
	lines []byte
}

func (s *stateService) Snapshot() (cluster.MachineSnapshot, error) {
	return &stateSnapshot{s.stateLedger, s.lines[:len(s.lines):len(s.lines)]}, nil
}

func (s *stateSnapshot) Close() error { return nil }

func (s *stateSnapshot) WriteTo(w io.Writer) (int64, error) {
	if err := binary.Write(w, binary.LittleEndian, &s.stateLedger); err != nil {
		return 0, err
	}
	n, err := w.Write(s.lines)
	return int64(n) + 32, err
}

func (s *stateService) Restore(r io.Reader, chain bool, over func() bool) error {
	if r != nil && over() {
		return io.ErrClosedPipe
	}
	if chain {
		s.m.c.Tally.OtherChains++
	}
	s.stateLedger, s.lines, s.m.places = stateLedger{}, nil, nil
	if r == nil {
		return nil
	}
	s.m.c.Tally.ServiceRestores++
	if err := binary.Read(r, binary.LittleEndian, &s.stateLedger); err != nil {
		return err
	}
	var b bytes.Buffer
	_, err := b.ReadFrom(r)
	s.lines = b.Bytes()
	return err
}

// digest is a hash of the maps and of the service.
func (m *StateMember) digest(s *cluster.State) uint64 {
	d := s.Digest()
	if v := m.service; v != nil {
		d = check.Hash(append(binary.LittleEndian.AppendUint64(nil, d), v.state()...))
	}
	return d
}

// certainLost is the operations that Certain was called for and that are not in the history any more.
func (c *StateCluster) certainLost() (vs []check.Violation) {
	if c.Log.Excused != "" || c.Interval {
		return nil
	}
	counts := c.Log.Counting()
	for p := range c.certain {
		if !counts(p) {
			vs = append(vs, check.Violation{ID: "MP-16", At: -1, Text: fmt.Sprintf("what counted at index %d was certain, and is lost", p.Index)})
		}
	}
	c.Tally.Certain += len(c.certain)
	return vs[:min(len(vs), 3)]
}
