package run

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"

	"github.com/activeblaze/blaze/internal/member"
)

// seed gives each engine that has none a source of random numbers of its own.
func seed(cfg *member.Config) (err error) {
	if cfg.Rand == nil {
		if cfg.Rand, err = newRand(); err != nil {
			return err
		}
	}
	for i := range cfg.Branches {
		if b := &cfg.Branches[i]; b.Rand == nil {
			if b.Rand, err = newRand(); err != nil {
				return err
			}
		}
	}
	return nil
}

func newRand() (*mrand.Rand, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("drawing a seed: %w", err)
	}
	return mrand.New(mrand.NewChaCha8(seed)), nil
}
