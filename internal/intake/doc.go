// Package intake carries what engines deliver to the goroutine of one handler: the source is an engine's
// thread, the sink is a func. It holds no API type, so that subscriptions use it today and whatever else
// has a handler of its own (in-boxes, queue consumers) can.
package intake
