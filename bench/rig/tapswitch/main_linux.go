// Command tapswitch joins network namespaces that ip netns has made: each gets a tap interface net0 and its address, and
// this program is the switch between them, until its input ends. It is what scripts/rig.sh tap starts.
//
//	tapswitch [-loss 0.01] [-seed 1] [-to 2:mtu=1400]... [-from 0:rate=100mbit,queue=64k]... NAMESPACE...
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/activeblaze/blaze/bench/rig"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tapswitch:", err)
		os.Exit(1)
	}
}

// cable is one way of a host's cable, and what it carries.
type cable struct {
	host int
	way  rig.Way
	link rig.Link
}

func run(args []string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet("tapswitch", flag.ContinueOnError)
	loss := f.Float64("loss", 0, "`part` of the packets that is lost at each port")
	seed := f.Uint64("seed", 1, "`seed` of what chance decides")
	var cables []cable
	for _, way := range []rig.Way{rig.ToHost, rig.FromHost} {
		f.Func(way.String(), "`HOST:LINK`: what the cable "+way.String()+" a host carries, as 2:rate=100mbit,queue=64k", func(text string) error {
			host, link, _ := strings.Cut(text, ":")
			n, err := strconv.Atoi(host)
			if err != nil {
				return fmt.Errorf("%q: want HOST:LINK", text)
			}
			l, err := rig.ParseLink(link)
			cables = append(cables, cable{n, way, l})
			return err
		})
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := rig.Join(f.Args(), rig.Options{Loss: *loss, Seed: *seed})
	if err != nil {
		return err
	}
	defer r.Close()
	for _, c := range cables {
		if err := r.SetLink(c.host, c.way, c.link); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "ready")
	_, err = io.Copy(io.Discard, in)
	return err
}
