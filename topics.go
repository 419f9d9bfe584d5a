package blaze

import (
	"fmt"

	"github.com/activeblaze/blaze/internal/topic"
)

// validateTopic tells whether messages can be published on path (ErrTopic). It allocates nothing
// when all is well.
func validateTopic(path string) error {
	if err := topic.Validate(path); err != nil {
		return fmt.Errorf("%w: %w", ErrTopic, err)
	}
	return nil
}

// validatePattern tells whether pattern, which may have wildcards, can be subscribed to (ErrTopic).
func validatePattern(pattern string) error {
	if err := topic.ValidatePattern(pattern); err != nil {
		return fmt.Errorf("%w: %w", ErrTopic, err)
	}
	return nil
}
