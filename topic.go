package blaze

import (
	"fmt"
	"strings"

	"github.com/activeblaze/blaze/internal/topic"
)

// validateTopic reports whether messages can be published on path (ErrTopic). It allocates nothing
// when all is well.
func validateTopic(path string) error { return topicError(topic.Validate(path)) }

// validatePattern reports whether pattern, which may have wildcards, can be subscribed to (ErrTopic).
func validatePattern(pattern string) error { return topicError(topic.ValidatePattern(pattern)) }

func topicError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrTopic, err)
}

// foreignWildcards reports whether pattern looks like one of MQTT or AMQP, whose wildcards are ordinary
// characters here.
func foreignWildcards(pattern string) bool {
	if strings.Contains(pattern, "/") {
		return true
	}
	for element := range strings.SplitSeq(pattern, ".") {
		if element == "#" || element == "+" {
			return true
		}
	}
	return false
}

// warnOfPattern writes to the log, once for a channel, that a pattern probably does not match what is meant.
func (c *Channel) warnOfPattern(pattern string) {
	if foreignWildcards(pattern) && c.warned.CompareAndSwap(false, true) {
		c.logger().Warn("blaze: a pattern has #, + or /, which are ordinary characters in topics", "pattern", pattern,
			"remedy", "separate elements with '.'; '*' matches one element, '>' at the end all below")
	}
}
