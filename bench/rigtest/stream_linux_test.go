package rigtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
)

// streamOrder is the first line of the input of a member that sends, or receives, as it is ordered.
type streamOrder struct {
	URI           string         `json:"uri"`
	Protocol      blaze.Protocol `json:"protocol"`
	Number        int            `json:"number"`  // which member, from 0
	Members       int            `json:"members"` // of the conversation
	MaxRate       int64          `json:"max_rate"`
	RepairTimeout time.Duration  `json:"repair_timeout"`
	Free          bool           `json:"free"` // no congestion control
}

// streamStep is each further line: what to send from now on, where Set is true.
type streamStep struct {
	Set   bool          `json:"set"`
	Blind bool          `json:"blind"` // do not wait until the sender knows all receivers: it cannot
	Reset bool          `json:"reset"` // latencies count from now on
	Every time.Duration `json:"every"` // between two messages, on a schedule; 0: as fast as they are taken
	Count uint64        `json:"count"` // no more than so many; 0: none
	Size  int           `json:"size"`
	Large int           `json:"large"` // bytes of one message in 20; 0: of none
}

// forever is a Count that is never reached.
const forever = 1 << 62

// streamState is the answer to each line.
type streamState struct {
	Error     string              `json:"error,omitempty"`
	At        time.Duration       `json:"at"`        // when it was taken, on the clock of all processes
	Offered   uint64              `json:"offered"`   // messages, in all
	Large     uint64              `json:"large"`     // of those
	Last      time.Duration       `json:"last"`      // when the last one was offered
	Delivered []uint64            `json:"delivered"` // of each member, in all
	Lost      []uint64            `json:"lost"`      // that OnLoss reported, of each member
	Wrong     uint64              `json:"wrong"`     // out of order, twice or of no member
	Heard     time.Duration       `json:"heard"`     // when the last message came or was reported as lost
	Latency   measure.Percentiles `json:"latency"`   // from when a message was due, since the last Reset
	Stats     streamStats         `json:"stats"`
}

// streamStats is the part of blaze.Stats that is looked at.
type streamStats struct {
	Engine engine.Stats
	Nack   nack.Stats
	Totem  totem.Stats
}

// wire is how many bytes a member has sent, with the headers of Ethernet, IP and UDP.
func (s *streamState) wire() float64 {
	return onWire(s.Stats.Engine.Sent, s.Stats.Engine.SentBytes)
}

// each is what one message takes on a link, with the headers of its datagram, sent once.
func (s *streamState) each() float64 {
	n, t := &s.Stats.Nack, &s.Stats.Totem
	return onWire(n.Datagrams+t.Datagrams, n.DatagramBytes+t.DatagramBytes) / float64(max(n.Messages+t.Messages, 1))
}

// repairs are the datagrams and the repair symbols that were sent because they were asked for.
func (s *streamState) repairs() uint64 {
	n := &s.Stats.Nack
	return n.RepairsMulticast + n.RepairsUnicast + n.ParityAsked + s.Stats.Totem.Retransmitted
}

func onWire(datagrams, bytes uint64) float64 { return float64(bytes + 42*datagrams) }

// serveStream is a process with a member that sends and receives as its input orders, until that ends.
func serveStream(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var o streamOrder
	if err := dec.Decode(&o); err != nil {
		return err
	}
	cfg := member.Config(o.URI)
	cfg.Protocol, cfg.MaxRate, cfg.RepairTimeout = o.Protocol, o.MaxRate, o.RepairTimeout
	if o.Free {
		cfg.CongestionControl = blaze.CongestionOff
	}
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	r := &streamReader{next: make([]uint64, o.Members), latency: measure.NewHistogram(), from: map[blaze.MemberID]int{}}
	r.state.Delivered, r.state.Lost = make([]uint64, o.Members), make([]uint64, o.Members)
	if _, err := ch.SubscribePayload("stream", r.take, blaze.Inline(), blaze.OnLoss(r.lost)); err != nil {
		return err
	}
	if err := ch.Start(); err != nil {
		return enc.Encode(streamState{Error: err.Error()})
	}
	pub, err := ch.Publisher("stream")
	if err != nil {
		return err
	}
	steps := make(chan streamStep)
	w := &streamWriter{number: o.Number}
	go w.run(pub, steps)
	for {
		var s streamStep
		if dec.Decode(&s) != nil {
			return nil
		}
		if s.Set && !s.Blind {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			err := pub.WaitReceivers(ctx, o.Members-1)
			cancel()
			if err != nil {
				return enc.Encode(streamState{Error: err.Error()})
			}
		}
		if s.Set {
			steps <- s
		}
		a := r.look(s.Reset)
		w.look(&a)
		all := ch.Stats()
		a.Stats = streamStats{all.Engine, all.Nack, all.Totem}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
}

// A payload is 8 bytes for the message's number, 8 for when it was due, 1 for its sender, and zeros.
const streamHeader = 17

// streamReader is what a member receives.
type streamReader struct {
	mu      sync.Mutex
	state   streamState
	next    []uint64 // of each member: the number of the last message that came or was lost
	from    map[blaze.MemberID]int
	latency *measure.Histogram
}

func (r *streamReader) take(d *blaze.Delivery) {
	now := engine.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(d.Payload) < streamHeader || int(d.Payload[16]) >= len(r.next) {
		r.state.Wrong++
		return
	}
	from, n := int(d.Payload[16]), binary.LittleEndian.Uint64(d.Payload)
	if n != r.next[from]+1 {
		r.state.Wrong++
	}
	r.next[from], r.from[d.From], r.state.Heard = n, from, time.Duration(now)
	r.state.Delivered[from]++
	r.latency.Record(int64(now) - int64(binary.LittleEndian.Uint64(d.Payload[8:])))
}

func (r *streamReader) lost(l blaze.Loss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, known := r.from[l.From]
	if !known || l.First != r.next[from]+1 {
		r.state.Wrong++
		return
	}
	r.next[from], r.state.Heard = l.Last, time.Duration(engine.Now())
	r.state.Lost[from] += l.Last - l.First + 1
}

// look returns what came; with reset the latencies count from now on.
func (r *streamReader) look(reset bool) streamState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.At, s.Delivered, s.Lost = time.Duration(engine.Now()), slices.Clone(s.Delivered), slices.Clone(s.Lost)
	if p := r.latency.Percentiles(); p != nil {
		s.Latency = *p
	}
	if reset {
		r.latency.Reset()
	}
	return s
}

// streamWriter sends what a member sends.
type streamWriter struct {
	number int

	mu             sync.Mutex
	offered, large uint64
	last           time.Duration
}

func (w *streamWriter) look(s *streamState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Offered, s.Large, s.Last = w.offered, w.large, w.last
}

// run sends what the last step says.
func (w *streamWriter) run(pub *blaze.Publisher, steps <-chan streamStep) {
	var s streamStep
	var begin time.Duration
	done := uint64(0) // messages of this step
	b := make([]byte, 2048)
	for {
		if done >= s.Count {
			s, done = <-steps, 0
			begin = time.Duration(engine.Now())
		}
		select {
		case s = <-steps:
			done, begin = 0, time.Duration(engine.Now())
			continue
		default:
		}
		now := time.Duration(engine.Now())
		due := now
		if s.Every > 0 {
			if due = begin + time.Duration(done)*s.Every; due > now {
				time.Sleep(min(due-now, time.Millisecond))
				continue
			}
		}
		size, large := s.Size, s.Large > 0 && done%20 == 7
		if large {
			size = s.Large
		}
		binary.LittleEndian.PutUint64(b, w.offered+1)
		binary.LittleEndian.PutUint64(b[8:], uint64(due))
		b[16] = byte(w.number)
		if pub.Offer(b[:size]) != nil { // where there is no room, it is offered again
			time.Sleep(50 * time.Microsecond)
			continue
		}
		w.mu.Lock()
		w.offered++
		if large {
			w.large++
		}
		w.last = now
		w.mu.Unlock()
		done++
	}
}

// streams are members on a network that send and receive as they are ordered.
type streams struct {
	t    *testing.T
	rig  *rig.Rig
	all  []*proc.Child
	logs []*logText
}

// logText keeps what a member logs.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// has reports whether a line of the log has all of these words.
func (l *logText) has(words ...string) bool {
	for line := range strings.SplitSeq(l.String(), "\n") {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// converseOn starts members on a network. Those that are ordered to send later are among the first senders.
func converseOn(t *testing.T, r *rig.Rig, o streamOrder) *streams {
	t.Helper()
	s := &streams{t: t, rig: r}
	t.Setenv(role, "stream")
	o.Members = r.Hosts()
	for i := range o.Members {
		l := &logText{}
		c, err := proc.StartIn(r.Host(i), []string{os.Args[0]}, l)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Close(2 * time.Second)
			if t.Failed() {
				t.Logf("member %d logged:\n%s", i, l)
			}
		})
		o.Number = i
		if err := c.Send(o); err != nil {
			t.Fatal(err)
		}
		s.all, s.logs = append(s.all, c), append(s.logs, l)
	}
	s.look() // all have started
	return s
}

// end ends all members.
func (s *streams) end() {
	for _, c := range s.all {
		c.Close(2 * time.Second)
	}
}

// order has a member send from now on. Latencies count from then on, at all members.
func (s *streams) order(i int, step streamStep) streamState {
	s.t.Helper()
	for j := range s.all {
		if j != i {
			s.ask(j, streamStep{Reset: true})
		}
	}
	step.Set, step.Reset = true, true
	return s.ask(i, step)
}

// quiet has a member send nothing more.
func (s *streams) quiet(i int) streamState { s.t.Helper(); return s.order(i, streamStep{}) }

func (s *streams) ask(i int, step streamStep) streamState {
	s.t.Helper()
	if err := s.all[i].Send(step); err != nil {
		s.t.Fatal(err)
	}
	a := receive[streamState](s.t, s.all[i], 20*time.Second)
	if a.Error != "" {
		s.t.Fatalf("member %d: %s", i, a.Error)
	}
	return a
}

// look returns the state of each member.
func (s *streams) look() (list []streamState) {
	s.t.Helper()
	for i := range s.all {
		list = append(list, s.ask(i, streamStep{}))
	}
	return list
}

// settle waits until the receivers, from first on, have got all of the senders' messages or have been told that
// they are lost, and judges: once and in order.
func (s *streams) settle(senders int, limit time.Duration) []streamState {
	s.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		list := s.look()
		missing := uint64(0)
		for i := range list {
			for from := range senders {
				if from != i {
					missing += list[from].Offered - min(list[i].Delivered[from]+list[i].Lost[from], list[from].Offered)
				}
			}
		}
		if missing > 0 && time.Now().Before(end) {
			continue
		}
		for i := range list {
			if list[i].Wrong > 0 {
				s.t.Errorf("member %d got %d messages out of order or twice", i, list[i].Wrong)
			}
		}
		if missing > 0 {
			s.t.Errorf("%d messages have neither come nor been reported as lost after %v", missing, limit)
		}
		return list
	}
}

// exact is settle where nothing may be lost.
func (s *streams) exact(senders int, limit time.Duration) []streamState {
	s.t.Helper()
	list := s.settle(senders, limit)
	for i := range list {
		for from := range senders {
			if n := list[i].Lost[from]; n > 0 {
				s.t.Errorf("member %d lost %d messages of member %d", i, n, from)
			}
		}
	}
	return list
}

// barOf widens a ratio's bar where others use the machine too: twice the distance from 1 in CI.
func barOf(bar float64) float64 {
	if os.Getenv("CI") == "" {
		return bar
	}
	return 1 + 2*(bar-1)
}
