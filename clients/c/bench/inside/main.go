// Command inside is bench.c in Go: the same calls of the Go API, to see what the C library costs beside it.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
)

const warm = 20000

var (
	out     *blaze.Publisher
	took    []time.Duration
	sent    time.Time
	count   int
	got     int
	over    atomic.Bool
	payload [64]byte
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func onPing(d *blaze.Delivery) {
	if len(d.Payload) == 1 {
		over.Store(true)
		return
	}
	for out.Offer(d.Payload) == blaze.ErrBackPressure {
	}
}

func onPong(*blaze.Delivery) {
	now := time.Now()
	if got >= warm {
		took[got-warm] = now.Sub(sent)
	}
	if got++; got == warm+count {
		over.Store(true)
		return
	}
	sent = time.Now()
	for out.Offer(payload[:]) == blaze.ErrBackPressure {
	}
}

func member(uri string, turn bool) *blaze.Channel {
	c, err := blaze.NewChannel(blaze.Config{Cluster: "bench", BroadcastURI: uri, Idle: blaze.BusySpin, Invoker: turn})
	check(err)
	check(c.Start())
	return c
}

func roundTrip(ping bool, uri string, turn bool) {
	c := member(uri, turn)
	in, to, h := "ping", "pong", onPing
	if ping {
		in, to, h = "pong", "ping", onPong
	}
	_, err := c.SubscribePayload(in, h, blaze.Inline())
	check(err)
	out, err = c.Publisher(to)
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	check(out.WaitReceivers(ctx, 1))
	if !turn {
		time.Sleep(300 * time.Millisecond)
	}
	if ping {
		took = make([]time.Duration, count)
		for began := time.Now(); turn && time.Since(began) < 300*time.Millisecond; {
			c.Turn()
		}
		sent = time.Now()
		check(out.Offer(payload[:]))
	}
	for !over.Load() {
		if turn {
			c.Turn()
		} else {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if ping {
		check(out.Offer([]byte("x")))
		slices.Sort(took)
		us := func(d time.Duration) float64 { return float64(d) / 1e3 }
		fmt.Printf("%.3f %.3f %.3f\n", us(took[count/2]), us(took[count/100*99]), us(took[0]))
	}
	check(c.Shutdown())
}

func calls() {
	const burst = 32
	c := member("udp://239.255.66.76:17802?interface=lo", true)
	idle, err := blaze.NewChannel(blaze.Config{})
	check(err)
	handled := 0
	_, err = c.SubscribePayload("self", func(*blaze.Delivery) { handled++ }, blaze.Inline())
	check(err)
	out, err = c.Publisher("self")
	check(err)
	began := time.Now()
	for range count {
		idle.Turn()
	}
	turns := time.Since(began)
	var offers, handlers, empty time.Duration
	rounds := count / burst
	for range rounds {
		t := time.Now()
		for range burst {
			check(out.Offer(payload[:8]))
		}
		offers += time.Since(t)
		handled = 0
		t = time.Now()
		for handled < burst {
			c.Turn()
		}
		handlers += time.Since(t)
		t = time.Now()
		for range burst {
			c.Turn()
		}
		empty += time.Since(t)
	}
	each := func(d time.Duration, n int) float64 { return float64(d) / float64(n) }
	fmt.Printf("%.1f %.1f %.1f %.1f\n", each(turns, count), each(offers, rounds*burst), each(handlers, rounds*burst), each(empty, rounds*burst))
	check(c.Shutdown())
}

func main() {
	var err error
	switch a := os.Args; {
	case len(a) == 3 && a[1] == "calls":
		count, err = strconv.Atoi(a[2])
		check(err)
		calls()
	case len(a) == 5:
		count, err = strconv.Atoi(a[3])
		check(err)
		roundTrip(a[1] == "ping", a[2], a[4] == "turn")
	default:
		fmt.Fprintln(os.Stderr, "usage: inside ping|pong URI COUNT engine|turn, or inside calls COUNT")
		os.Exit(2)
	}
}
