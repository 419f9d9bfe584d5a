package jms

import (
	"context"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms/held"
)

// QueueStats are the counters of one held queue or subscription. The holders have them alike. Those from Put on count
// since the queue was made.
type QueueStats struct {
	Name string // of the queue; of a subscription its own name

	// Of a subscription: the topic, which may have wildcards, and the client id that it belongs to. Topic is empty of a
	// queue, and ClientID of a subscription that is shared without one.
	Topic    string
	ClientID string
	Durable  bool

	Depth     uint64    // messages that wait, delayed ones included
	Bytes     uint64    // of those, and of the ones in flight and staged
	InFlight  uint64    // messages that a consumer has, and that are not settled
	Delayed   uint64    // of Depth: not to be delivered yet
	Staged    uint64    // of transactions that have not been committed
	Consumers uint64    //
	Waiting   uint64    // consumers that wait for a message
	Oldest    time.Time // the earliest Timestamp among the first messages of each priority that wait; zero: none

	Put         uint64
	Taken       uint64 // deliveries to consumers
	Settled     uint64 // messages that were acknowledged
	Redelivered uint64 // times that a message went back after a consumer may have seen it
	Expired     uint64
	Dead        uint64 // that went to the dead-letter queue
	Removed     uint64 // that an operator purged, moved or retried
}

// QueueStats returns the counters of all held queues and subscriptions, queues first, each by name. A queue that nobody
// has named is not among them. The errors are those of ConnectHolders.
func (c *Context) QueueStats(ctx context.Context) ([]QueueStats, error) {
	var queues, subscriptions []QueueStats
	err := c.list(ctx, held.Op{Kind: held.KindList}, "the counters of queues", func(a *held.Answer, next *held.Op) bool {
		for i := range a.Queues {
			if q := statsOf(&a.Queues[i]); q.Topic == "" {
				queues = append(queues, q)
			} else {
				subscriptions = append(subscriptions, q)
			}
			next.Name = []byte(a.Queues[i].Name)
		}
		return len(a.Queues) > 0
	})
	if err != nil {
		return nil, err
	}
	return append(queues, subscriptions...), nil
}

// list reads what the holders have to tell, an answer after the other. page takes one in, and says where the next one begins;
// where it returns false, that was all.
func (c *Context) list(ctx context.Context, op held.Op, what string, page func(a *held.Answer, next *held.Op) bool) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	c.conn.use()
	l, err := c.holders(ctx)
	if err != nil {
		return err
	}
	for {
		a, err := l.read(ctx, &op)
		if err != nil {
			return err
		}
		if a.Code != held.CodeOK {
			return codeError(a, what)
		}
		if !page(&a, &op) || !a.More {
			return nil
		}
	}
}

// Holding is a client of the holders that has messages which it has not settled.
type Holding struct {
	Client   blaze.MemberID
	ClientID string    // of its connection; empty: it has none
	InFlight uint64    // messages
	Since    time.Time // since then it has settled none, and given none back; by the holders' clock; zero: for less than 100 ms or so
	Queues   []string  // that it consumes, in order, at most 16; of a subscription the name
}

// Holding returns the clients that have messages which are not settled, a connection each, in the order in which they
// connected. One that takes messages and never settles them has a Since that is long ago: they stay with it until its
// connection ends. The errors are those of ConnectHolders.
func (c *Context) Holding(ctx context.Context) ([]Holding, error) {
	var all []Holding
	op := held.Op{Kind: held.KindList, Flags: held.FlagHolding}
	err := c.list(ctx, op, "the clients that have messages", func(a *held.Answer, next *held.Op) bool {
		for _, h := range a.Holding {
			x := Holding{Client: h.Member, ClientID: h.Client, InFlight: h.InFlight, Since: timeOf(h.Since)}
			for _, name := range h.Queues {
				_, _, name = subscriptionKey(name)
				x.Queues = append(x.Queues, name)
			}
			all = append(all, x)
		}
		next.After = a.Next
		return true
	})
	return all, err
}

// subscriptionKey cuts up what the holders call a subscription: NUL, d or s, the client id, NUL, its name. Of a queue it
// returns the name as it is.
func subscriptionKey(key string) (durable bool, client, name string) {
	switch {
	case strings.HasPrefix(key, "\x00d"):
		durable = true
	case !strings.HasPrefix(key, "\x00s"):
		return false, "", key
	}
	client, name, _ = strings.Cut(key[2:], "\x00")
	return durable, client, name
}

func statsOf(w *held.QueueStats) QueueStats {
	q := QueueStats{
		Name: w.Name, Topic: w.Topic, Depth: w.Depth, Bytes: w.Bytes, InFlight: w.InFlight, Delayed: w.Delayed, Staged: w.Staged,
		Consumers: w.Consumers, Waiting: w.Waiting, Oldest: timeOf(w.Oldest), Put: w.Put, Taken: w.Taken, Settled: w.Settled,
		Redelivered: w.Redelivered, Expired: w.Expired, Dead: w.Dead, Removed: w.Removed,
	}
	if w.Topic != "" {
		q.Durable, q.ClientID, q.Name = subscriptionKey(w.Name)
	}
	return q
}
