// Package jms is the simplified API of Jakarta Messaging 3.1 in Go, over Blaze's channels: for programs that are used to
// a broker, and for those that were written for one. docs/jms.md is for people who come from ActiveMQ, Artemis or MQ.
//
//	factory, err := jms.Open("udp://239.255.66.76:6676?interface=eth0&jms.cluster=desk")
//	c, err := factory.CreateContext(jms.AutoAcknowledge)
//	prices, err := c.Topic("prices.acme")
//	consumer, err := c.Consumer(prices, jms.Selector("bid > 100"))
//	err = c.Producer().SendText(ctx, prices, "101.25")
//	m, err := consumer.Receive(ctx)
//
// # Contexts
//
// A Context is a connection and a session in one. Context.CreateContext makes a further session of the same connection.
// All contexts of one ConnectionFactory share one channel, which starts with the first and stops with the last.
//
// One goroutine at a time uses a context, its producers, consumers and browsers, as in Jakarta Messaging (6.2.5). A call
// of another goroutine meanwhile is refused with ErrIllegalState; it does no harm. Close is for any goroutine at any
// time. A call that waits then returns within milliseconds. The handlers of a session (Listen) run one at a time on a
// goroutine of the session, and use the context meanwhile.
//
// # Errors
//
// Each error matches one of this package's sentinels, or one of package blaze. What is used after its Close matches
// ErrIllegalState and blaze.ErrClosed.
package jms
