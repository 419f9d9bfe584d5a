// Master has two members ready for the same work, of which one does it: the master. When it goes, the other one takes
// over, with the state that both hold.
//
//	go run ./examples/master
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	if err := run(blaze.Config{}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// server numbers orders while it is master. It stands by otherwise.
type server struct {
	*blaze.ClusterChannel
	numbers *blaze.Map
}

func start(cfg blaze.Config, name string, weight int) (*server, error) {
	cfg.MasterWeight = weight // the highest that is there is master
	c, err := blaze.NewClusterChannel(name, cfg)
	if err != nil {
		return nil, err
	}
	return &server{c, c.Map("numbers")}, c.Start()
}

// next is the next number, from the master only.
func (s *server) next(ctx context.Context) (n uint64, err error) {
	// IsMaster is true at one member at most. What it is asked for may be over when the write comes, though, so the
	// write itself names what it goes on from.
	if !s.IsMaster() {
		return 0, fmt.Errorf("%s is not master", s.Local().Name)
	}
	last, ok := s.numbers.Get("last")
	if ok {
		n = binary.BigEndian.Uint64(last.Value)
	}
	n++
	_, err = s.numbers.CompareAndPut(ctx, "last", binary.BigEndian.AppendUint64(nil, n), last.Version)
	return n, err
}

func run(cfg blaze.Config, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// Nobody sets ExpectedMembers: one that is left goes on alone, if it is the longer-serving one or the other left in
	// order. The first one therefore starts first.
	first, err := start(cfg, "first", 2)
	if err != nil {
		return err
	}
	defer first.Shutdown()
	if err = first.WaitReady(ctx); err != nil {
		return err
	}
	second, err := start(cfg, "second", 1)
	if err != nil {
		return err
	}
	defer second.Shutdown()
	masters := make(chan string, 4)
	second.OnMaster(func(m blaze.Member) { masters <- m.Name })
	if err = second.WaitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "master:", <-masters)

	for range 3 {
		n, err := first.next(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "number", n)
	}
	_, err = second.next(ctx)
	fmt.Fprintln(out, "standby:", err)

	// The master goes. A failure looks the same from here, a fraction of a second later.
	if err = first.Stop(); err != nil {
		return err
	}
	fmt.Fprintln(out, "master:", <-masters)
	for range 2 {
		n, err := second.next(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "number", n)
	}
	return nil
}
