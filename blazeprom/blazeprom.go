// Package blazeprom shows channels to a Prometheus server.
//
//	prometheus.MustRegister(blazeprom.NewCollector(ch))
//
// A scrape is one Channel.Inspect and one Channel.Stats, which an engine hardly notices. A channel has at most 150 series,
// however many streams, subscriptions and members there are: families of fixed size first, then engines, the subscriptions
// that are fullest, and the streams whose receivers are furthest behind. blaze_series_left_out tells how many did not fit.
// Series for single receivers come with WithPeers only, and beside the 150.
//
// What counts up is a counter and ends in _total; times are seconds, sizes bytes. The helps are those of blaze.Metrics.
package blazeprom

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/activeblaze/blaze"
)

// MaxSeries is how many series a channel has, those of WithPeers aside. A histogram counts for each of its buckets, its
// sum and its count.
const MaxSeries = 150

// patience bounds the wait for an engine's turn. A member that stands still for longer has blaze_up 0, and what is known
// without its engines.
const patience = time.Second

// Option is an option of NewCollector.
type Option func(*collector)

// WithPeers adds series for the n receivers that are furthest behind: blaze_receiver_behind_datagrams with label peer.
// The default is none, since members come and go, and Prometheus keeps each that it has seen.
func WithPeers(n int) Option { return func(c *collector) { c.peers = max(n, 0) } }

// NewCollector is what ch shows. Its series have the labels channel (Config.Name) and cluster, by which channels of one
// process must differ. Of a GroupChannel or ClusterChannel ch is its field Channel.
func NewCollector(ch *blaze.Channel, opts ...Option) prometheus.Collector {
	cfg := ch.Config()
	labels := prometheus.Labels{"channel": cfg.Name, "cluster": cfg.Cluster}
	c := &collector{ch: ch, families: describe(labels)}
	desc := func(name, help string, of ...string) *prometheus.Desc {
		d := prometheus.NewDesc("blaze_"+name, help, of, labels)
		c.own = append(c.own, d)
		return d
	}
	stream := []string{"protocol", "lane"}
	c.info = desc("info", "What the channel is: always 1.", "version", "transport", "mode", "socket")
	c.up = desc("up", "Whether the channel is started and its engines turn.")
	c.leftOut = desc("series_left_out", "Streams, subscriptions, queues and maps that have no series of their own, since there are too many.")
	c.master = desc("master", "Whether this member is the master of its cluster.")
	c.state = desc("totem_state", "Whether the ring is in this state.", "state")
	c.turn = desc("engine_turn_seconds_max", "Longest time between the starts of two turns of a busy engine.", "engine")
	c.longTurns = desc("engine_long_turns_total", "Turns of 1 ms and more.", "engine")
	c.buffers = desc("buffers_free", "Packet buffers that are free.", "engine")
	c.repair = desc("repair_seconds", "From noticing that a datagram is missing until it came, of all streams that are received now.")
	c.queued = desc("subscription_queued_messages", "Messages that wait for a subscription's handler.", "pattern")
	c.capacity = desc("subscription_capacity_messages", "Messages that a subscription's queue takes.", "pattern")
	c.full = desc("subscription_full_ratio", "Share of the last second for which a subscription's queue was full.", "pattern")
	c.lag = desc("subscription_lag_seconds", "Since the oldest message that waits for a subscription's handler came.", "pattern")
	c.dropped = desc("subscription_dropped_total", "Messages that found a subscription's queue full, with SlowConsumer Drop.", "pattern")
	c.handler = desc("handler_seconds", "How long a subscription's handler takes; one message in 64 is timed.", "pattern")
	c.blocked = desc("send_blocked_ratio", "Share of the last second for which receivers held a stream back.", stream...)
	c.trip = desc("round_trip_seconds", "Round trip to the receivers of a stream, smoothed.", stream...)
	c.queue = desc("queue_messages", "Messages of this member that wait in a queue or are out at a consumer.", "queue")
	c.entries = desc("map_entries", "Entries of a replicated map.", "map")
	c.behind = desc("receiver_behind_datagrams", "Datagrams that were sent and that a receiver has not reported.", "protocol", "lane", "peer")
	for _, o := range opts {
		o(c)
	}
	return c
}

// collector is one channel's.
type collector struct {
	ch       *blaze.Channel
	peers    int
	families []described
	own      []*prometheus.Desc // all that follow

	info, up, leftOut, master, state             *prometheus.Desc
	turn, longTurns, buffers                     *prometheus.Desc
	repair, queued, capacity, full, lag, dropped *prometheus.Desc
	handler, blocked, trip, queue, entries       *prometheus.Desc
	behind                                       *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.families {
		out <- d.desc
	}
	for _, d := range c.own {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := c.ch.Stats()
	found, err := c.ch.Inspect(ctx)
	if err != nil {
		found = &blaze.Inspection{}
	}
	w := &writer{out: out}
	w.gauge(c.info, 1, found.Channel.Module, s.Transport, s.Mode, s.Socket)
	w.gauge(c.up, number(err == nil && c.ch.State() == blaze.Started))
	collect(c.families, s, func(layer string) bool {
		switch layer {
		case "totem":
			return found.Ring != nil
		case "group":
			return found.Members != nil
		case "cluster":
			return found.Master != nil
		case "xdp", "udp":
			return layer == s.Transport
		}
		return true
	}, w.send)
	if found.Ring != nil {
		for _, state := range [...]string{"gather", "commit", "recovery", "operational"} {
			w.gauge(c.state, number(found.Ring.State == state), state)
		}
	}
	if m := found.Master; m != nil {
		w.gauge(c.master, number(m.Master != nil && m.Master.Member == found.Channel.ID))
	}
	c.collectRepairs(w, found)
	left := c.collectEngines(w, found) + c.collectSubscriptions(w, found) + c.collectStreams(w, found) + c.collectLayers(w, found)
	w.gauge(c.leftOut, float64(left))
	c.collectPeers(w, found)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// writer counts what it sends.
type writer struct {
	out  chan<- prometheus.Metric
	sent int
}

// room reports whether n series more fit, beside the one that tells how many do not.
func (w *writer) room(n int) bool { return w.sent+n < MaxSeries }

func (w *writer) send(m prometheus.Metric) {
	w.out <- m
	w.sent++
}

func (w *writer) gauge(d *prometheus.Desc, v float64, labels ...string) {
	w.send(prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

func (w *writer) counter(d *prometheus.Desc, v float64, labels ...string) {
	w.send(prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...))
}

// histogramSeries is how many series a histogram has.
const histogramSeries = buckets + 3 // +Inf, sum and count

// buckets are the bounds of histograms: from 1.024 µs on, each four times the one before, up to 1.07 s.
const buckets = 11

// histogram sends a distribution, or several together. Its sum is made of the middles of Inspect's classes, which are √2
// wide.
func (w *writer) histogram(d *prometheus.Desc, times []blaze.TimeClass, labels ...string) {
	times = slices.SortedFunc(slices.Values(times), func(a, b blaze.TimeClass) int {
		return cmp.Compare(uint64(a.Below)-1, uint64(b.Below)-1) // 0 has no bound: it is last
	})
	cumulative, total, sum := map[float64]uint64{}, uint64(0), 0.0
	i := 0
	for bound, n := time.Duration(1024), 0; n < buckets; bound, n = 4*bound, n+1 {
		for ; i < len(times) && times[i].Below != 0 && times[i].Below <= bound; i++ {
			total += times[i].Count
			sum += float64(times[i].Count) * times[i].Below.Seconds() * 0.84
		}
		cumulative[bound.Seconds()] = total
	}
	for ; i < len(times); i++ {
		total += times[i].Count
		sum += float64(times[i].Count) * max(times[i].Below.Seconds()*0.84, 1)
	}
	w.out <- prometheus.MustNewConstHistogram(d, total, sum, cumulative, labels...)
	w.sent += histogramSeries
}

func (c *collector) collectRepairs(w *writer, found *blaze.Inspection) {
	var times []blaze.TimeClass
	for _, r := range found.Receiving {
		times = append(times, r.RepairTimes...)
	}
	w.histogram(c.repair, times)
}

func (c *collector) collectEngines(w *writer, found *blaze.Inspection) (left int) {
	for _, e := range found.Engines {
		if !w.room(3) {
			left++
			continue
		}
		name := strconv.Itoa(e.Engine)
		w.gauge(c.turn, e.LongestTurn.Seconds(), name)
		w.counter(c.longTurns, float64(e.LongTurns), name)
		w.gauge(c.buffers, float64(e.BuffersFree), name)
	}
	return left
}

// bySubscription adds what has one pattern: a label stands for one series.
func bySubscription(list []blaze.SubscriptionInfo) (all []blaze.SubscriptionInfo) {
	at := map[string]int{}
	for _, s := range list {
		if s.Kind != "topic" {
			continue
		}
		i, there := at[s.Pattern]
		if !there {
			at[s.Pattern] = len(all)
			all = append(all, s)
			continue
		}
		x := &all[i]
		x.Queued, x.Capacity, x.Dropped = x.Queued+s.Queued, x.Capacity+s.Capacity, x.Dropped+s.Dropped
		x.Full, x.Oldest = max(x.Full, s.Full), max(x.Oldest, s.Oldest)
		x.Times = slices.Concat(x.Times, s.Times)
	}
	slices.SortStableFunc(all, func(a, b blaze.SubscriptionInfo) int {
		return cmp.Or(cmp.Compare(b.Full, a.Full), cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Pattern, b.Pattern))
	})
	return all
}

// The parts of the series that are no family of fixed size.
const (
	shareOfSubscriptions = 40
	shareOfStreams       = 16
)

func (c *collector) collectSubscriptions(w *writer, found *blaze.Inspection) (left int) {
	end := w.sent + shareOfSubscriptions
	for i, s := range bySubscription(found.Subscriptions) {
		need := 5
		if i == 0 {
			need += histogramSeries
		}
		if !w.room(need) || w.sent+need > end {
			left++
			continue
		}
		w.gauge(c.queued, float64(s.Queued), s.Pattern)
		w.gauge(c.capacity, float64(s.Capacity), s.Pattern)
		w.gauge(c.full, s.Full, s.Pattern)
		w.gauge(c.lag, s.Oldest.Seconds(), s.Pattern)
		w.counter(c.dropped, float64(s.Dropped), s.Pattern)
		if i == 0 {
			w.histogram(c.handler, s.Times, s.Pattern)
		}
	}
	return left
}

func (c *collector) collectStreams(w *writer, found *blaze.Inspection) (left int) {
	streams := slices.Clone(found.Sending)
	slices.SortStableFunc(streams, func(a, b blaze.SendingInfo) int {
		return cmp.Or(cmp.Compare(b.Blocked, a.Blocked), cmp.Compare(furthest(b), furthest(a)))
	})
	end := w.sent + shareOfStreams
	for _, s := range streams {
		if !w.room(2) || w.sent+2 > end {
			left++
			continue
		}
		protocol, lane := s.Protocol.String(), strconv.Itoa(s.Lane)
		w.gauge(c.blocked, s.Blocked, protocol, lane)
		w.gauge(c.trip, s.RoundTrip.Seconds(), protocol, lane)
	}
	return left
}

// furthest is how far the slowest receiver is behind.
func furthest(s blaze.SendingInfo) (n uint64) {
	for _, r := range s.Receivers {
		n = max(n, r.Behind)
	}
	return n
}

func (c *collector) collectLayers(w *writer, found *blaze.Inspection) (left int) {
	for _, q := range found.Queues {
		if !w.room(1) {
			left++
			continue
		}
		w.gauge(c.queue, float64(q.Waiting+q.Out), q.Name)
	}
	for _, m := range found.Maps {
		if !w.room(1) {
			left++
			continue
		}
		w.gauge(c.entries, float64(m.Entries), m.Name)
	}
	return left
}

func (c *collector) collectPeers(w *writer, found *blaze.Inspection) {
	type one struct {
		s *blaze.SendingInfo
		r *blaze.ReceiverInfo
	}
	var all []one
	for i := range found.Sending {
		for j := range found.Sending[i].Receivers {
			all = append(all, one{&found.Sending[i], &found.Sending[i].Receivers[j]})
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return cmp.Compare(b.r.Behind, a.r.Behind) })
	for _, x := range all[:min(c.peers, len(all))] {
		w.gauge(c.behind, float64(x.r.Behind), x.s.Protocol.String(), strconv.Itoa(x.s.Lane), x.r.Member.String())
	}
}
