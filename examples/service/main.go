// Service runs a state machine of its own at three members: the seats of a hall, which are reserved and then bought. Every
// member applies the same operations in the same order. So no seat is sold twice, whoever sells it, and killing a member
// loses nothing.
//
//	go run ./examples/service
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	if err := run(blaze.Config{Cluster: "example-service"}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// office sells seats: one member.
type office struct {
	*blaze.ClusterChannel
	hall *hall
}

func open(name string, cfg blaze.Config) (*office, error) {
	c, err := blaze.NewClusterChannel(name, cfg)
	if err != nil {
		return nil, err
	}
	o := &office{c, &hall{}}
	// Before Start: a member without the service gets no state of a cluster that has it.
	if err := c.Service("hall", o.hall); err != nil {
		return nil, err
	}
	return o, c.Start()
}

// ask proposes an operation. It returns when all members have it, with what Apply has answered.
func (o *office) ask(ctx context.Context, q request) (r reply, err error) {
	op, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	answer, err := o.Propose(ctx, "hall", op)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(answer, &r)
}

func run(cfg blaze.Config, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg.ExpectedMembers = 3
	offices := map[string]*office{}
	for _, name := range []string{"north", "south", "west"} {
		o, err := open(name, cfg)
		if err != nil {
			return err
		}
		defer o.Shutdown()
		offices[name] = o
	}
	for _, o := range offices {
		if err := o.WaitReady(ctx); err != nil {
			return err
		}
	}
	say := func(name string, q request) (reply, error) {
		r, err := offices[name].ask(ctx, q)
		if err != nil {
			return r, err
		}
		if r.Why != "" {
			fmt.Fprintf(out, "%s: %s: %s; %d are free\n", name, q.Do, r.Why, r.Free)
		} else {
			fmt.Fprintf(out, "%s: %s: done; %d are free\n", name, q.Do, r.Free)
		}
		return r, nil
	}
	minute := func() time.Time { return time.Now().Add(time.Minute) }

	six, err := say("north", request{Do: "reserve", Seats: 6, EndsAt: minute()})
	if err != nil {
		return err
	}
	if _, err = say("south", request{Do: "reserve", Seats: 6, EndsAt: minute()}); err != nil { // too many
		return err
	}
	if _, err = say("south", request{Do: "buy", ID: six.ID}); err != nil { // any member may
		return err
	}
	// The time of a reservation is over: the leader's clock says so, as an operation, and all members agree.
	if _, err = say("south", request{Do: "reserve", Seats: 4, EndsAt: time.Now().Add(200 * time.Millisecond)}); err != nil {
		return err
	}
	// South has seen its own reservation; another member may be a moment behind.
	if err = until(ctx, func() bool { return offices["south"].hall.free() == 4 }); err != nil {
		return err
	}
	fmt.Fprintln(out, "a reservation is over: 4 are free")
	// A member goes: what it has reserved is free again.
	if _, err = say("west", request{Do: "reserve", Seats: 3, EndsAt: minute()}); err != nil {
		return err
	}
	if err = until(ctx, func() bool { return offices["south"].hall.free() == 1 }); err != nil {
		return err
	}
	if err = offices["west"].Shutdown(); err != nil {
		return err
	}
	if err = until(ctx, func() bool { return offices["south"].hall.free() == 4 }); err != nil {
		return err
	}
	fmt.Fprintln(out, "west has gone: 4 are free")
	return nil
}

// until waits for f.
func until(ctx context.Context, f func() bool) error {
	for !f() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
