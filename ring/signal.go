package ring

import "sync/atomic"

// Signal tells producers whether their consumer sleeps, so that they wake it only then. It
// does not sleep or wake by itself: that is an eventfd, a semaphore or a channel of the
// caller's, with one property: a wake-up that comes before the sleep ends that sleep at once.
//
// The consumer:
//
//	s.Arm()
//	if every queue is Empty {
//		sleep
//	}
//	if s.Disarm() { take back the wake-up, if it has come }
//
// Each producer:
//
//	publish (SPSC.Publish, Record.Commit)
//	if s.Notify() { wake }
//
// # Why no wake-up is lost
//
// This is Dekker's pattern: each side writes its own flag, then reads the other's. Write
// P1 for the producer's publishing store and P2 for the load in Notify, C1 for the store in
// Arm and C2 for the load in Empty. All four are sync/atomic operations, hence there is one
// order of all of them that every goroutine agrees on, in which P1 < P2 and C1 < C2. Suppose
// that the consumer goes to sleep without having seen the item: C2 < P1. Then
// C1 < C2 < P1 < P2, and P2 finds the Signal armed, so that this producer wakes the consumer,
// unless something has disarmed it between C1 and P2. That is either another producer's
// Notify, whose wake-up ends this sleep, or the consumer's Disarm, which it reaches only after
// the sleep. Either way the consumer looks at all its queues again.
//
// A wake-up may come late, after the consumer has woken for another reason and disarmed; it
// then ends the next sleep early, once. Spurious wake-ups are harmless, since the consumer
// looks at its queues after each.
//
// The zero Signal is disarmed and ready.
type Signal struct {
	_     pad
	armed atomic.Uint32 // 1: the consumer sleeps or is about to
	_     pad
}

// Arm marks that the consumer is about to sleep. It must look at all its queues after Arm and
// before it sleeps.
func (s *Signal) Arm() { s.armed.Store(1) }

// Disarm marks that the consumer is awake; producers leave it alone from here on. It reports
// whether some producer's Notify was true since Arm: the wake-up of that producer has come or
// will come.
func (s *Signal) Disarm() (notified bool) { return s.armed.Swap(0) == 0 }

// Notify is called by a producer after it has published. On true the caller, and no other
// producer, must wake the consumer. While the consumer is awake this is one load of a line
// that nobody writes.
func (s *Signal) Notify() bool {
	return s.armed.Load() != 0 && s.armed.CompareAndSwap(1, 0)
}
