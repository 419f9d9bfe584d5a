package jms

import (
	"context"
	"strings"
	"time"

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
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	c.conn.use()
	l, err := c.conn.holders(ctx)
	if err != nil {
		return nil, err
	}
	var queues, subscriptions []QueueStats
	for op := (&held.Op{Kind: held.KindList}); ; {
		a, err := l.read(ctx, op)
		if err != nil {
			return nil, err
		}
		if a.Code != held.CodeOK {
			return nil, codeError(a, "the counters of queues")
		}
		for i := range a.Queues {
			if q := statsOf(&a.Queues[i]); q.Topic == "" {
				queues = append(queues, q)
			} else {
				subscriptions = append(subscriptions, q)
			}
		}
		if !a.More || len(a.Queues) == 0 {
			return append(queues, subscriptions...), nil
		}
		op.Name = []byte(a.Queues[len(a.Queues)-1].Name)
	}
}

func statsOf(w *held.QueueStats) QueueStats {
	q := QueueStats{
		Name: w.Name, Topic: w.Topic, Depth: w.Depth, Bytes: w.Bytes, InFlight: w.InFlight, Delayed: w.Delayed, Staged: w.Staged,
		Consumers: w.Consumers, Waiting: w.Waiting, Oldest: timeOf(w.Oldest), Put: w.Put, Taken: w.Taken, Settled: w.Settled,
		Redelivered: w.Redelivered, Expired: w.Expired, Dead: w.Dead, Removed: w.Removed,
	}
	if w.Topic != "" { // its key: NUL, d or s, the client id, NUL, its name
		q.Durable = strings.HasPrefix(w.Name, "\x00d")
		client, name, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(w.Name, "\x00d"), "\x00s"), "\x00")
		q.ClientID, q.Name = client, name
	}
	return q
}
