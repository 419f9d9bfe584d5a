package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/raw"
)

// ErrUnsupported means that this host cannot run the workload.
var ErrUnsupported = raw.ErrUnsupported

// raw measures bare sockets: a round trip, then how many datagrams a second arrive.
func (r *run) raw(ctx context.Context) error {
	base := role{Workload: Raw, URI: r.o.URI, Size: r.o.Size, GSO: r.o.GSO, NoLoop: r.o.NoLoop, Seconds: r.o.Duration.Seconds()}
	ping, flood, err := base.raw()
	if err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w on %s: bare sockets are measured on Linux", ErrUnsupported, runtime.GOOS)
	}
	if err := r.children.start(1, func(int) *role { return &base }); err != nil {
		return err
	}
	// Its report, or why it failed: then this end does not wait any longer.
	replies, _ := r.children.answers(ctx, nobody, isReport, r.fail)
	r.res.Transport, r.res.Loop = "sockets", "on"
	if r.o.NoLoop {
		r.res.Loop = "off"
	}
	if ping.XDP != nil {
		r.res.Transport, r.res.XDPSocket, r.res.Loop, r.res.NotDone = "xdp", ping.XDP.Socket, "", raw.NotDone
	}

	r.progress("round trip of bare sockets, %d bytes, for %v", r.o.Size, r.o.Duration)
	r.hist = measure.NewHistogram()
	pings, err := raw.Latency(ctx, ping, r.hist.Record)
	if err != nil {
		return err
	}
	r.progress("datagrams over bare sockets, %d bytes, for %v", r.o.Size, r.o.Duration)
	if _, err := raw.Sender(ctx, flood); err != nil {
		return err
	}
	p := <-replies
	if p.err != nil {
		return p.err
	}
	got := p.a.Report
	res := r.res
	res.XDPMode = pings.Mode
	res.RTT = r.hist.Percentiles()
	res.Unanswered = pings.Lost
	// What was sent while it was measured: raw's counts leave the warm-up out.
	res.Sent, res.Delivered, res.Lost = got.Delivered+got.Lost, got.Delivered, got.Lost
	res.Seconds, res.DatagramsPerSecond = got.Seconds, got.rate()
	res.MsgsPerSecond, res.BytesPerSecond = got.rate(), got.rate()*float64(r.o.Size)
	return nil
}

// serveRaw is the other end of raw.
func serveRaw(ctx context.Context, o *role, enc *json.Encoder) error {
	ping, flood, err := o.raw()
	if err != nil {
		return err
	}
	if err := raw.Responder(ctx, ping); err != nil {
		return err
	}
	got, err := raw.Receiver(ctx, flood)
	if err != nil {
		return err
	}
	err = enc.Encode(answer{Report: &report{
		Delivered: got.Datagrams, Lost: got.Lost, Messages: float64(got.Datagrams), Seconds: got.Seconds,
	}})
	if err == nil {
		<-ctx.Done() // until the sender ends the run
	}
	return err
}

// raw makes of the URI what bare sockets need. The two measurements have a port each, one above
// the other, so that stragglers of the first cannot disturb the second.
func (o *role) raw() (ping, flood raw.Config, err error) {
	u, err := blaze.ParseURI(o.URI)
	if err != nil {
		return ping, flood, err
	}
	if u.Scheme != "udp" && u.Scheme != "xdp" {
		return ping, flood, fmt.Errorf("uri %q: raw needs udp:// or xdp://", o.URI)
	}
	ping = raw.Config{
		Group: u.Group, Interface: u.Interface, Size: o.Size, GSO: o.GSO, NoLoop: o.NoLoop,
		Duration: time.Duration(o.Seconds * float64(time.Second)),
	}
	if u.Scheme == "xdp" {
		if u.Interface == "" {
			return ping, flood, fmt.Errorf("uri %q: xdp:// needs an interface: add ?interface=NAME, or --rig veth makes a network with one", o.URI)
		}
		ping.XDP = &raw.XDP{Socket: u.Socket, Mode: u.Mode, ZeroCopy: u.ZeroCopy, Queue: u.Queue}
	}
	flood = ping
	port := u.Group.Port() + 1
	if port == 0 {
		port = 1024
	}
	flood.Group = netip.AddrPortFrom(u.Group.Addr(), port)
	return ping, flood, nil
}
