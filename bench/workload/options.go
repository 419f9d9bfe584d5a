package workload

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/fec"
)

// Kind is a workload.
type Kind string

// The workloads.
const (
	Latency    Kind = "latency"    // ping-pong with the first receiver; with Rate, open loop
	Throughput Kind = "throughput" // one way, as fast as flow control allows, or at Rate
	Loss       Kind = "loss"       // Throughput while every member loses datagrams
	Order      Kind = "order"      // members of a ring, each of which sends and receives
	Cluster    Kind = "cluster"    // members that share maps, locks and a master
	Group      Kind = "group"      // members of a group, and messages from one to another
	JMS        Kind = "jms"        // producers and consumers of a queue that is held, or of a topic
	Raw        Kind = "raw"        // bare sockets: round trip, then datagrams received a second
)

// Bounds of the options.
const (
	MaxSize      = 1 << 20 // bytes: Config.MaxMessageSize's default
	MaxReceivers = 64
	MaxRing      = 16 // members
	MaxDuration  = time.Hour
	MaxDatagram  = 1472 // bytes of UDP payload at MTU 1500, for Raw
	MaxDelay     = 100 * time.Millisecond

	// Settle is how long receivers wait for what is still missing after the last Offer.
	Settle = 5 * time.Second
)

// Options say what to run. Zero fields take the defaults that are written behind them.
type Options struct {
	URI       string         // udp://239.255.66.76 on loopback, with a free port for each run
	Protocol  blaze.Protocol // any but Totem; Order: Totem, or NACK for the same exchange without a total order
	Size      int            // bytes of payload in each message: 64
	Rate      float64        // messages a second, of all members together: 0, closed loop or as fast as it goes
	Duration  time.Duration  // measured: 5 s
	Receivers int            // 1
	Loss      float64        // share of datagrams that each member loses: 0
	Delay     time.Duration  // that everything comes later at each member: 0, as the network is
	Seed      uint64         // of the losses, 1
	Idle      string         // busyspin, backoff, block; by default busyspin where every member can have a CPU, else crowdedIdle
	GSO       bool           // Raw: with segmentation offload
	NoLoop    bool           // Raw: an end does not get what it sends itself; over sockets only

	Ring    RingOptions    // Order
	Group   GroupOptions   // Group
	Cluster ClusterOptions // Cluster
	JMS     JMSOptions     // JMS

	// FEC sets the code of Protocol FEC and Hybrid, as Config.FEC does; any other protocol wants
	// it zero.
	FEC blaze.FECConfig

	// Breakdown shows where the time of a message goes, from Offer to the handler. It needs
	// Latency in a closed loop over xdp with Idle busyspin, and makes each message somewhat slower.
	Breakdown bool

	// Goroutines has handlers run on goroutines, as Subscribe does by itself, not on the engines' threads. It
	// needs Latency in a closed loop, and Idle backoff, its default, or block.
	Goroutines bool

	// Rig makes a network for the run, each member a host of its own on it, and fills the
	// interface into URI. It needs root. Empty means none: the members are on this host.
	Rig     rig.Kind
	Offload bool // Rig: its interfaces keep segmentation offload, see rig.Options

	// Link is what one cable of the rig carries: of the last host, from the switch to it, or with
	// LinkAt "sender" of the first one, from it to the switch.
	Link   rig.Link
	LinkAt string // receiver, the default, or sender

	// Network is a rig that is there, to be used instead of one that is made: the sender is on
	// host 0, receiver i on host i+1. Rig is its kind then.
	Network *rig.Rig

	// Receiver is the command line that starts a process which calls Serve: a receiver, or a member of
	// a ring.
	Receiver []string
	// Progress, if set, gets what the run is doing, now and then.
	Progress func(what string)
	// Stderr is where the receivers' complaints go; nil: nowhere.
	Stderr io.Writer
}

// RingOptions are what Order has besides. Zero fields take the defaults that are written behind them.
type RingOptions struct {
	Members int    // processes, each of which sends and receives: 3
	Safe    bool   // deliver what every member has, not only what is agreed
	Plain   bool   // the ring that is not accelerated
	Kill    bool   // end one member midway, by SIGKILL
	Verify  bool   // compare the members' sequences
	Profile string // lan, isolated, shared: lan
}

// crowdedIdle is how members wait that are more than there are CPUs: the one that measured best with
// three members of a ring on two CPUs. A member that has nothing to do yields its CPU to the one that
// holds the token, and none sleeps: to wake a thread up on another CPU takes tens of microseconds, most
// of all in a virtual machine. Against block it about thirded the median latency at 1,000 messages a
// second and raised the rate by half; busyspin reached a tenth of that.
const crowdedIdle = "backoff"

// defaultURI has no port: each run takes its own.
const defaultURI = "udp://239.255.66.76"

// fill puts in the defaults of a workload, and checks.
func (o Options) fill(kind Kind) (Options, error) {
	if o.Size == 0 {
		o.Size = 64
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Receivers == 0 {
		o.Receivers = 1
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if kind == Order {
		if o.Ring.Members == 0 {
			o.Ring.Members = 3
		}
		if o.Ring.Profile == "" {
			o.Ring.Profile = blaze.LAN.String()
		}
	}
	if kind == Group {
		o.fillGroup()
	}
	if kind == Cluster {
		o.fillCluster()
	}
	if kind == JMS {
		o.fillJMS()
	}
	if o.Goroutines && o.Idle == "" {
		o.Idle = crowdedIdle
	}
	if kind == Raw || o.Breakdown && o.Idle == "" {
		o.Idle = "busyspin"
	}
	if o.Idle == "" {
		o.Idle = crowdedIdle
		if o.members(kind) <= runtime.NumCPU() {
			o.Idle = "busyspin"
		}
	}
	if err := o.Check(kind); err != nil {
		return o, err
	}
	var err error
	if o.URI == "" {
		o.URI = defaultURI
	}
	if o.Rig != "" {
		if o.URI, err = withInterface(o.URI, rig.Interface); err != nil {
			return o, err
		}
	}
	o.URI, err = withPort(o.URI)
	return o, err
}

// members is how many there are: the sender and its receivers, or a ring.
func (o *Options) members(kind Kind) int {
	switch kind {
	case Order:
		return o.Ring.Members
	case Group:
		return o.Group.members()
	}
	return o.Receivers + 1
}

// Check refuses what cannot be run; each error begins with the option, its value and what it may be.
func (o Options) Check(kind Kind) error {
	switch kind {
	case Latency, Throughput, Loss, Order, Group, Cluster, JMS, Raw:
	default:
		return fmt.Errorf("workload %q: want latency, throughput, loss, order, group, cluster, jms or raw", kind)
	}
	if err := measure.CheckSize(o.Size); err != nil {
		return err
	}
	if o.Size > MaxSize {
		return fmt.Errorf("size %d: want at most %d bytes", o.Size, MaxSize)
	}
	if kind == Raw && o.Size > MaxDatagram {
		return fmt.Errorf("size %d: raw sends one datagram for each, of at most %d bytes", o.Size, MaxDatagram)
	}
	if kind == Order {
		if err := o.checkRing(); err != nil {
			return err
		}
	} else if kind == Group {
		if err := o.checkGroup(); err != nil {
			return err
		}
	} else if kind == Cluster {
		if err := o.checkCluster(); err != nil {
			return err
		}
	} else if kind == JMS {
		if err := o.checkJMS(); err != nil {
			return err
		}
	} else if o.Protocol == blaze.Totem {
		return fmt.Errorf("protocol %q: want nack, besteffort, fec or hybrid; the ring has a command of its own, order", strings.ToLower(o.Protocol.String()))
	}
	if o.Rate < 0 || o.Rate > measure.MaxRate || o.Rate != o.Rate {
		return fmt.Errorf("rate %v: want 0 (as fast as it goes) to %.0f messages a second", o.Rate, float64(measure.MaxRate))
	}
	if o.Duration < 10*time.Millisecond || o.Duration > MaxDuration {
		return fmt.Errorf("duration %v: want 10ms to %v", o.Duration, MaxDuration)
	}
	if kind != Order && kind != Group && kind != Cluster && kind != JMS && (o.Receivers < 1 || o.Receivers > MaxReceivers) {
		return fmt.Errorf("receivers %d: want 1 to %d", o.Receivers, MaxReceivers)
	}
	if !(o.Loss >= 0 && o.Loss < 1) {
		return fmt.Errorf("loss %v: want a share of datagrams, 0 or more and less than 1", o.Loss)
	}
	if o.Delay < 0 || o.Delay > MaxDelay {
		return fmt.Errorf("delay %v: want 0 to %v", o.Delay, MaxDelay)
	}
	if kind == Raw && o.Delay > 0 {
		return fmt.Errorf("delay %v: raw has none", o.Delay)
	}
	if o.NoLoop && (kind != Raw || strings.HasPrefix(o.URI, "xdp://")) {
		return errors.New("loop off is for raw over sockets: over AF_XDP nobody gets what it sends itself")
	}
	if kind == Raw && o.Receivers != 1 {
		return fmt.Errorf("receivers %d: raw has one", o.Receivers)
	}
	if o.Breakdown && (kind != Latency || o.Rate > 0 || o.Idle != "" && o.Idle != "busyspin" || !strings.HasPrefix(o.URI, "xdp://")) {
		return errors.New("breakdown needs latency without rate, over xdp:// and with idle busyspin")
	}
	if o.Goroutines && (kind != Latency || o.Rate > 0 || o.Idle == "busyspin") {
		return errors.New("goroutines needs latency without rate, and idle backoff or block")
	}
	if o.Rig != "" {
		if err := o.checkRig(kind); err != nil {
			return err
		}
	} else if o.Link != (rig.Link{}) {
		return fmt.Errorf("link %v is a rig's: what the host's own network does is not ours to change", o.Link)
	} else if o.Offload {
		return errors.New("offload is a rig's: what the host's own interfaces do is not ours to change")
	}
	if err := o.checkCode(); err != nil {
		return err
	}
	if _, err := blaze.ParseIdle(o.Idle); err != nil && o.Idle != "" {
		return fmt.Errorf("idle %q: want busyspin, backoff or block", o.Idle)
	}
	return nil
}

// checkRig refuses a network that there is not.
func (o *Options) checkRig(kind Kind) error {
	if err := rig.Check(o.Rig, o.members(kind), rig.Options{}); err != nil {
		return err
	}
	if o.LinkAt != "" && o.LinkAt != "receiver" && o.LinkAt != "sender" {
		return fmt.Errorf("link-at %q: want receiver or sender", o.LinkAt)
	}
	if o.Link == (rig.Link{}) {
		return nil
	}
	if err := o.Link.Check(o.Rig, o.way()); err != nil {
		return fmt.Errorf("link %v: %w", o.Link, err)
	}
	return nil
}

// way is the direction of the cable that has the link.
func (o *Options) way() rig.Way {
	if o.LinkAt == "sender" {
		return rig.FromHost
	}
	return rig.ToHost
}

// bend gives the rig its link.
func (o *Options) bend(r *rig.Rig) error {
	if o.Link == (rig.Link{}) {
		return nil
	}
	host := r.Hosts() - 1
	if o.way() == rig.FromHost {
		host = 0
	}
	return r.SetLink(host, o.way(), o.Link)
}

// checkRing refuses what no ring can be.
func (o *Options) checkRing() error {
	g := &o.Ring
	if g.Members < 1 || g.Members > MaxRing {
		return fmt.Errorf("members %d: want 1 to %d", g.Members, MaxRing)
	}
	if g.Kill && g.Members < 2 {
		return errors.New("members 1: to kill one there must be another: want 2 or more")
	}
	switch {
	case o.Protocol != blaze.Totem && o.Protocol != blaze.NACK:
		return fmt.Errorf("protocol %q: want totem or nack", strings.ToLower(o.Protocol.String()))
	case o.Protocol == blaze.NACK && (g.Verify || g.Kill || g.Safe || g.Plain):
		return errors.New("protocol nack: it has no ring: want totem with --verify, --kill, --safe or --plain")
	}
	return checkProfile(g.Profile)
}

// checkProfile refuses a name that is no profile; empty is the default.
func checkProfile(name string) error {
	var p blaze.TotemProfile
	if err := p.UnmarshalText([]byte(name)); err != nil && name != "" {
		return fmt.Errorf("profile %q: want lan, isolated or shared", name)
	}
	return nil
}

// checkCode refuses a code that there is not, or that will not be used. It names k, m and
// interleave, as the command line does; what else FEC sets is for the library to judge.
func (o Options) checkCode() error {
	f := o.FEC
	if f == (blaze.FECConfig{}) {
		return nil
	}
	for _, v := range []struct {
		name      string
		is, limit int
	}{{"k", f.SourceSymbols, fec.MaxSource}, {"m", f.RepairSymbols, fec.MaxSymbol - fec.MaxSource}, {"interleave", f.Interleave, fec.MaxInterleave}} {
		if v.is < 0 || v.is > v.limit {
			return fmt.Errorf("%s %d: want 1 to %d", v.name, v.is, v.limit)
		}
		if v.is > 0 && o.Protocol != blaze.FEC && o.Protocol != blaze.Hybrid {
			return fmt.Errorf("%s %d is for protocol fec and hybrid", v.name, v.is)
		}
	}
	return blaze.Config{Protocol: o.Protocol, FEC: f}.Validate()
}

// ownTap gives receiver i, from 1, a file of its own where the URI asks for a tap: the sender's
// name with .i behind it.
func ownTap(uri string, i int) string {
	u, err := blaze.ParseURI(uri)
	if err != nil || u.Tap == "" {
		return uri
	}
	u.Tap += "." + strconv.Itoa(i)
	return u.String()
}

// withInterface puts a rig's interface into a URI.
func withInterface(uri, name string) (string, error) {
	u, query, has := strings.Cut(uri, "?")
	switch {
	case strings.HasPrefix(u, "pointcast://"):
		return uri, fmt.Errorf("uri %s: a rig is for multicast: udp, xdp or auto", uri)
	case !has || query == "":
		return u + "?interface=" + name, nil
	case strings.HasPrefix(query, "interface=") || strings.Contains(query, "&interface="):
		return uri, fmt.Errorf("uri %s: leave the interface out: the rig has its own", uri)
	}
	return uri + "&interface=" + name, nil
}

// withPort puts a free port into a URI that names none, so that each run has its own.
func withPort(uri string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "pointcast" {
		return uri, nil // not ours to complete: the library states what is wrong
	}
	host, query, has := strings.Cut(rest, "?")
	if _, err := netip.ParseAddr(host); err != nil {
		return uri, nil
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	uri = scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
	if has {
		uri += "?" + query
	}
	return uri, nil
}

// freePort finds a UDP port that no socket on this host is bound to.
func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return 0, fmt.Errorf("no free UDP port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// warmUp is how long the load runs before it is measured.
func (o *Options) warmUp() time.Duration {
	return min(max(o.Duration/5, 20*time.Millisecond), time.Second)
}
