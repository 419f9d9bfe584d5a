package jms

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/internal/words"
)

// Destination is where messages go, and where they come from: a *Queue, *Topic, *TemporaryQueue or *TemporaryTopic.
type Destination interface {
	// Name is the name alone, without options.
	Name() string
	// String is the kind and the name: "queue:orders". It is how JMSReplyTo travels.
	String() string

	destination()
}

// Queue keeps what is sent to it until one consumer has acknowledged it. Its messages are held by the holders, or, of a
// direct queue, by their sender.
type Queue struct {
	name              string
	direct, exclusive bool
}

// Name implements Destination.
func (q *Queue) Name() string { return q.name }

// String implements Destination.
func (q *Queue) String() string { return queuePrefix + q.name }

// Direct reports whether the queue was named with direct=true: messages stay with their sender until a consumer is done
// with them, and no holder is asked.
func (q *Queue) Direct() bool { return q.direct }

func (*Queue) destination() {}

// Topic gives what is published on it to everybody who consumes it at that time. The name of one that is consumed from
// may have the wildcards of blaze's Subscribe: * and >.
type Topic struct{ name string }

// Name implements Destination.
func (t *Topic) Name() string { return t.name }

// String implements Destination.
func (t *Topic) String() string { return topicPrefix + t.name }

func (*Topic) destination() {}

// TemporaryQueue lives as long as the context that made it. Everybody may send to it; contexts of the same connection
// alone may consume from it.
type TemporaryQueue struct {
	member blaze.MemberID
	number uint64
	of     *temporary // nil: another connection's
}

// Name implements Destination: the member and a number.
func (q *TemporaryQueue) Name() string { return fmt.Sprintf("%v/%d", q.member, q.number) }

// String implements Destination.
func (q *TemporaryQueue) String() string { return temporaryPrefix + q.Name() }

func (*TemporaryQueue) destination() {}

// inbox is the name of the in-box at the member.
func (q *TemporaryQueue) inbox() string { return "jms.temp." + strconv.FormatUint(q.number, 10) }

// TemporaryTopic is a topic with a name of its own, that lives as long as the context that made it. Everybody may publish
// on it; contexts of the same connection alone may consume from it.
type TemporaryTopic struct {
	Topic
	of *connection
}

const (
	queuePrefix     = "queue:"
	topicPrefix     = "topic:"
	temporaryPrefix = "temp-queue:"

	temporaryTopics = "jms.temp."

	maxQueueName = 255 // bytes
)

// checkQueueName judges the name of a queue, without options.
func checkQueueName(name string) error {
	switch {
	case name == "" || len(name) > maxQueueName:
		return fmt.Errorf("%w: a queue's name has 1 to %d bytes, not %d", ErrInvalidDestination, maxQueueName, len(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: queue %q: not UTF-8, or with a control character", ErrInvalidDestination, words.Abridged(name))
	case strings.HasPrefix(name, "blaze."):
		return fmt.Errorf("%w: queue %q: names that begin with \"blaze.\" are reserved", ErrInvalidDestination, name)
	}
	return nil
}

// parseQueue reads a name with options: "orders?direct=true".
func parseQueue(text string) (*Queue, error) {
	name, options, _ := strings.Cut(text, "?")
	if err := checkQueueName(name); err != nil {
		return nil, err
	}
	q := &Queue{name: name}
	if options == "" {
		return q, nil
	}
	for option := range strings.SplitSeq(options, "&") {
		key, value, _ := strings.Cut(option, "=")
		on, err := strconv.ParseBool(value)
		switch {
		case key != "direct" && key != "consumer.exclusive":
			return nil, fmt.Errorf("%w: queue %q: option %q: allowed are direct and consumer.exclusive", ErrInvalidDestination, name, words.Abridged(key))
		case err != nil:
			return nil, fmt.Errorf("%w: queue %q: %s=%s: must be true or false", ErrInvalidDestination, name, key, words.Abridged(value))
		case key == "direct":
			q.direct = on
		default:
			q.exclusive = on
		}
	}
	return q, nil
}

// parseTopic judges the name of a topic, which may be a pattern.
func parseTopic(name string) (*Topic, error) {
	if err := topic.ValidatePattern(name); err != nil {
		return nil, fmt.Errorf("%w: topic %w (%w)", ErrInvalidDestination, err, blaze.ErrTopic)
	}
	return &Topic{name}, nil
}

// parseDestination is the inverse of Destination.String. Queue names are taken as they are, without options.
func parseDestination(s string) (Destination, error) {
	if name, found := strings.CutPrefix(s, queuePrefix); found {
		if err := checkQueueName(name); err != nil {
			return nil, err
		}
		return &Queue{name: name}, nil
	}
	if name, found := strings.CutPrefix(s, topicPrefix); found {
		if err := topic.Validate(name); err != nil {
			return nil, fmt.Errorf("%w: topic %w", ErrInvalidDestination, err)
		}
		return &Topic{name}, nil
	}
	if rest, found := strings.CutPrefix(s, temporaryPrefix); found {
		member, number, _ := strings.Cut(rest, "/")
		id, err := blaze.ParseMemberID(member)
		n, nerr := strconv.ParseUint(number, 10, 64)
		if err == nil && nerr == nil {
			return &TemporaryQueue{member: id, number: n}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q is none", ErrInvalidDestination, words.Abridged(s))
}
