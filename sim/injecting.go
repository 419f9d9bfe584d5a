package sim

import (
	"math/rand/v2"
	"time"
)

// injecting begins faults at random times and ends them again, until the healing. Every kind of cluster has an injector
// with its own faults around it.
type injecting struct {
	net     *Network
	rng     *rand.Rand
	lasting time.Duration // how long a fault lasts, at most
	healed  *bool         // the cluster's
}

// injectingInto returns one for a run of a seed. lasting zero means otherwise.
func injectingInto(net *Network, seed uint64, lasting, otherwise time.Duration, healed *bool) injecting {
	if lasting == 0 {
		lasting = otherwise
	}
	return injecting{net: net, rng: rand.New(rand.NewPCG(seed, 0x6661756c74)), lasting: lasting, healed: healed}
}

// often calls f at random times, perMS times a millisecond on average.
func (in *injecting) often(perMS float64, f func()) {
	if perMS <= 0 {
		return
	}
	var next func()
	wait := func() { in.net.After(time.Duration(in.rng.ExpFloat64()*float64(time.Millisecond)/perMS), next) }
	next = func() {
		if !*in.healed {
			f()
			wait()
		}
	}
	wait()
}

// every calls begin as often, with how long the fault that it begins lasts.
func (in *injecting) every(perMS float64, begin func(lasts time.Duration)) {
	in.often(perMS, func() { begin(in.draw()) })
}

// draw draws how long a fault lasts.
func (in *injecting) draw() time.Duration { return 1 + between(in.rng, in.lasting) }

// later calls f when the fault has lasted long enough, unless everything has been healed.
func (in *injecting) later(d time.Duration, f func()) {
	in.net.After(d, func() {
		if !*in.healed {
			f()
		}
	})
}

// mendLater mends what a fault has cut.
func (in *injecting) mendLater(d time.Duration, made []pair) {
	in.later(d, func() {
		for _, p := range made {
			in.net.Mend(p.from, p.to)
		}
	})
}
