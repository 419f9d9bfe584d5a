package jms20

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze/jms"
)

// queue is a Queue.
type queue struct {
	name  string
	async int
}

// GetQueueName implements Queue.
func (q queue) GetQueueName() string { return q.name }

// GetDestinationName implements Destination.
func (q queue) GetDestinationName() string { return q.name }

// SetPutAsyncAllowed returns a changed copy, as IBM's does.
func (q queue) SetPutAsyncAllowed(allowed int) jms20subset.Queue {
	q.async = allowed
	return q
}

// GetPutAsyncAllowed implements Destination.
func (q queue) GetPutAsyncAllowed() int { return q.async }

var errNil = errors.New("jms20: the destination is nil")

// queue is the queue of any implementation's destination, by its name.
func (s *session) queue(d jms20subset.Destination) (*jms.Queue, error) {
	if d == nil {
		return nil, fmt.Errorf("%w: %w", jms.ErrInvalidDestination, errNil)
	}
	return s.c.Queue(d.GetDestinationName())
}

var (
	comparison = regexp.MustCompile(`^(JMSMessageID|JMSCorrelationID)(\s*(?:=|<>)\s*')((?:[^']|'')*)'`)
	bare       = regexp.MustCompile(`^\s*(JMSMessageID|JMSCorrelationID|JMSType|JMSTimestamp|JMSPriority|JMSDeliveryMode)\s*$`)
	literal    = regexp.MustCompile(`^'(?:[^']|'')*'?`)
)

// selectorOf is a selector of a program for IBM's implementation: message ids there have no "ID:", or one. An id that is
// empty, and a header field alone, is refused, as IBM does. Other comparisons, and what stands in literals, are left as
// they are.
func selectorOf(text string) (string, error) {
	if bare.MatchString(text) {
		return "", errors.New("jms20: the selector is a header field alone")
	}
	var out strings.Builder
	for len(text) > 0 {
		n := 1
		switch m := comparison.FindStringSubmatch(text); {
		case m != nil:
			id := m[3]
			if id == "" || id == "ID:" {
				return "", fmt.Errorf("jms20: the selector compares %s with an empty id", m[1])
			}
			if m[1] == "JMSMessageID" && !strings.HasPrefix(id, "ID:") {
				id = "ID:" + strings.ToLower(id)
			}
			out.WriteString(m[1] + m[2] + id + "'")
			text = text[len(m[0]):]
			continue
		case text[0] == '\'':
			n = len(literal.FindString(text))
		case isWord(text[0]): // whole, so that a name which ends in JMSMessageID is none
			for n < len(text) && isWord(text[n]) {
				n++
			}
		}
		out.WriteString(text[:n])
		text = text[n:]
	}
	return out.String(), nil
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}
