package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// How long things may take. They bound a run that goes wrong, and judge nobody: a cell takes a second or two.
const (
	readyWithin   = 30 * time.Second
	publishWithin = 60 * time.Second
	arriveWithin  = 15 * time.Second
	stopWithin    = 15 * time.Second
)

// Verdicts.
const (
	passed      = "ok"
	failed      = "FAILED"
	unsupported = "unsupported"
	notRun      = "not run"
)

// result is what came of a cell.
type result struct {
	Cell     string  `json:"cell"`
	Pub      string  `json:"pub"`
	Sub      string  `json:"sub"`
	Payload  string  `json:"payload"`
	When     string  `json:"when"`
	Verdict  string  `json:"verdict"`
	Text     string  `json:"text,omitempty"`
	Seconds  float64 `json:"seconds"`
	Received int     `json:"received"`
	Lost     uint64  `json:"lost"`
}

// place is where a cell runs: a port, and groups, that no other cell has at the time.
type place struct {
	number  int // of the worker
	port    int
	network network
}

// runner runs cells.
type runner struct {
	root     string
	commands map[string][]string
	seed     uint64
}

// run runs one cell and judges it.
func (r *runner) run(ctx context.Context, c *cell, n int, at place) result {
	began := time.Now()
	res := result{Cell: c.String(), Pub: c.Pub, Sub: c.Sub, Payload: c.payload.name, When: c.when.name}
	h, err := r.record(ctx, c, n, at)
	if err == nil {
		if wrong := judge(c, h); len(wrong) > 0 {
			err = fmt.Errorf("%s", brief(wrong))
		}
		for _, x := range h.received {
			if x.Lost != nil {
				res.Lost += x.Lost.Count
			} else {
				res.Received++
			}
		}
	}
	res.Verdict, res.Seconds = passed, time.Since(began).Seconds()
	if err != nil {
		res.Verdict, res.Text = failed, err.Error()
		if strings.Contains(res.Text, "is not supported by the") {
			res.Verdict = unsupported
		}
	}
	return res
}

// record runs the members of a cell, and returns what they wrote.
func (r *runner) record(ctx context.Context, c *cell, n int, at place) (*history, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	groups := [2]netip.AddrPort{}
	for i := range groups {
		addr := netip.AddrFrom4([4]byte{239, 255, byte(1 + at.number), byte(1 + (2*n+i)%250)})
		groups[i] = netip.AddrPortFrom(addr, uint16(at.port+i))
	}
	pub, sub := groups[0], groups[0]
	between := c.when.relay != faults{}
	if between {
		sub = groups[1]
		end, err := at.network.relay(ctx, pub, sub, c.when.relay, r.seed+uint64(n))
		if err != nil {
			return nil, err
		}
		defer end()
	}
	begin := func() (*process, error) {
		return r.member(ctx, c.Sub, "sub", at.network.uri(1, sub, between), at.network.in(1), c, "--topic", c.payload.pattern, "--seed", r.seedOf(n, 0))
	}
	ready := func(p *process) error {
		if !p.within(readyWithin, func(p *process) bool { return p.ready }) {
			p.kill()
			return fmt.Errorf("the subscriber is not ready after %v: %s", readyWithin, p.failure())
		}
		return nil
	}
	messages := c.payload.count
	if c.when.late {
		messages *= 3
	}
	publish := func(i int) (*process, error) {
		return r.member(ctx, c.Pub, "pub", at.network.uri(0, pub, between), at.network.in(0), c, "--topic", c.payload.topic, "--seed", r.seedOf(n, i+1),
			"--count", strconv.Itoa(messages), "--size", strconv.Itoa(c.payload.size+i), "--rate", strconv.FormatFloat(c.payload.rate, 'f', -1, 64))
	}
	var s *process
	var err error
	if !c.when.late {
		if s, err = begin(); err != nil {
			return nil, err
		}
		defer s.kill()
		if err = ready(s); err != nil {
			return nil, err
		}
	}
	p, err := publish(0)
	if err != nil {
		return nil, err
	}
	h := &history{}
	after := func(count int) bool {
		return p.within(publishWithin, func(p *process) bool { return len(p.records) >= count })
	}
	if c.when.late {
		if !after(1) {
			p.kill()
			return nil, fmt.Errorf("the publisher does not publish: %s", p.failure())
		}
		if s, err = begin(); err != nil {
			p.kill()
			return nil, err
		}
		defer s.kill()
		// A subscriber that takes long to start must not come when all is over: the publisher waits for it then.
		watch, seen := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if p.until(watch, func(p *process) bool { return len(p.records) >= messages*2/3 }) {
				p.hold()
			}
		}()
		err = ready(s)
		seen()
		<-done
		p.let()
		if err != nil {
			p.kill()
			return nil, err
		}
	}
	if c.when.restarts {
		after(messages / 2)
		p.kill()
		h.published = append(h.published, journal{records: p.list(), killed: true})
		if p, err = publish(1); err != nil {
			return nil, err
		}
	}
	if !p.within(publishWithin, func(*process) bool { return false }) {
		select {
		case <-p.ended:
		default:
			p.kill()
			return nil, fmt.Errorf("the publisher has not ended after %v", publishWithin)
		}
	}
	if text := p.failure(); text != "" {
		return nil, fmt.Errorf("%s", text)
	}
	last := journal{records: p.list()}
	h.published = append(h.published, last)
	size := c.payload.size + len(h.published) - 1
	s.within(arriveWithin, func(s *process) bool {
		n := len(s.records)
		return n > 0 && s.records[n-1].N == uint64(len(last.records)) && s.records[n-1].Size == size
	})
	err = s.stop(stopWithin)
	h.received = s.list()
	if err == nil && s.noise != "" {
		err = fmt.Errorf("the subscriber wrote what is no record: %s", s.noise)
	}
	h.amend(c)
	return h, err
}

// amend adds to the journal of a publisher that was killed what it had sent and had no time to write down.
func (h *history) amend(c *cell) {
	for _, r := range h.received {
		i := r.Size - c.payload.size
		if r.Lost != nil || i < 0 || i >= len(h.published) {
			continue
		}
		if j := &h.published[i]; j.killed && r.N == uint64(len(j.records)+1) {
			j.records = append(j.records, r)
		}
	}
}

func (r *runner) seedOf(n, i int) string {
	return strconv.FormatUint((r.seed+uint64(n)*7+uint64(i))%1_000_000+1, 10)
}

// member starts a member of a language.
func (r *runner) member(ctx context.Context, name, role, uri string, prefix []string, c *cell, args ...string) (*process, error) {
	command := append(append([]string(nil), prefix...), r.commands[name]...)
	command = append(command, role, "--uri", uri)
	command = append(command, args...)
	if c.when.loss > 0 {
		command = append(command, "--loss", strconv.FormatFloat(c.when.loss, 'f', -1, 64))
	}
	if c.payload.typed && role == "pub" {
		command = append(command, "--typed")
	}
	return start(ctx, name+" "+role, command, envOf(name), r.root)
}
