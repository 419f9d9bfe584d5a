package jms

import (
	"context"

	"github.com/activeblaze/blaze/internal/jmstool"
)

func init() {
	jmstool.JMS = jmstool.Functions{
		Open: func(ctx context.Context, f any) (any, error) {
			return f.(*ConnectionFactory).open(ctx, AutoAcknowledge)
		},
		Channel: func(c any) any { return c.(*Context).conn.channel() },
	}
}
