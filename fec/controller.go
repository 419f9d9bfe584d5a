package fec

import (
	"math"
)

// Defaults and constants of the rule, see docs/decisions/fec-parity.md.
const (
	DefaultMinRepair = 1
	DefaultMaxRepair = 6
	DefaultTarget    = 0.04 // share of losses that may stay

	firstLoss  = 0.005 // believed until something was reported
	cleanLoss  = 1e-4  // up to it, a network is clean
	quickSpan  = 256   // datagrams over which a rise is noticed
	slowSpan   = 2048  // datagrams over which a fall is believed
	burstLoss  = 256   // losses after which what stayed of them is judged
	burstCalm  = 2     // judgements in a row that take a symbol off again
	worstCount = 2     // times the target that adds a symbol
)

// ControllerConfig is what a Controller is made of.
type ControllerConfig struct {
	// Source is the number of source symbols of a full block, 1..MaxSource. Zero means 20.
	Source int
	// Min and Max bound the repair symbols of a full block. Min zero means 1; -1 means none while
	// the network is clean. Max zero means 6, or Min where that is more.
	Min, Max int
	// Budget bounds the repair symbols of a full block as a share of its source symbols: 0.1
	// means that 20 source symbols have 2 at most. It goes before Min. An Encoder holds short
	// blocks to it as well, taken together: some of them have none then. Zero means no bound but Max.
	Budget float64
	// Fixed gives every full block this many repair symbols, whatever is reported, if above zero.
	Fixed int
	// Target is the share of losses that may stay unmended, 0..1. Zero means 0.04.
	Target float64
}

// Controller picks the number of repair symbols from the loss that receivers report: as few as
// leave at most Target of the losses to be mended otherwise, at the receiver that loses most.
// It rises with the first report that shows a rise for certain, and falls slowly. It is a pure
// state machine: no clock, no random numbers.
type Controller struct {
	cfg       ControllerConfig
	least     int // repair symbols of a full block
	most      int
	receivers []Loss
	free      []int

	loss  float64 // of the worst receiver
	limit []float64

	lost, stayed float64 // since the last judgement
	calm         int
	extra        int // repair symbols in addition, against bursts
}

// Loss is what one receiver is known to lose.
type Loss struct {
	sent, missed, stayed uint64 // as last reported
	quick, slow          float64
	known                bool // sent, missed and stayed are
	used                 bool
}

// NewController makes a Controller. It panics on settings outside their ranges.
func NewController(cfg ControllerConfig) *Controller {
	if cfg.Source == 0 {
		cfg.Source = DefaultSource
	}
	if cfg.Min == 0 {
		cfg.Min = DefaultMinRepair
	}
	if cfg.Max == 0 {
		cfg.Max = max(DefaultMaxRepair, cfg.Min)
	}
	if cfg.Target == 0 {
		cfg.Target = DefaultTarget
	}
	c := &Controller{cfg: cfg, least: max(cfg.Min, 0), most: cfg.Max, loss: firstLoss}
	if cfg.Fixed > 0 {
		c.least, c.most = cfg.Fixed, cfg.Fixed
	}
	if cfg.Budget > 0 {
		c.most = min(c.most, int(cfg.Budget*float64(cfg.Source)+1e-9))
		c.least = min(c.least, c.most)
	}
	if cfg.Source < 1 || cfg.Source > MaxSource || cfg.Min < -1 || c.most < c.least || cfg.Source+c.most > MaxSymbol ||
		cfg.Target < 0 || cfg.Target > 1 || cfg.Budget < 0 {
		panic("fec: ControllerConfig")
	}
	c.limit = make([]float64, (cfg.Source+1)*(c.most+1))
	for k := 1; k <= cfg.Source; k++ {
		for m := 1; m <= c.most; m++ {
			c.limit[k*(c.most+1)+m] = highestLoss(k, m, cfg.Target)
		}
	}
	return c
}

// highestLoss is the highest loss at which m repair symbols for k source symbols leave at most
// target of the losses.
func highestLoss(k, m int, target float64) float64 {
	lo, hi := 0.0, 1.0
	for range 30 {
		mid := (lo + hi) / 2
		if tail(k+m-1, m, mid) <= target {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// Max is the largest answer of Repairs.
func (c *Controller) Max() int { return c.most }

// Loss is the loss, 0..1, that Repairs goes by.
func (c *Controller) Loss() float64 { return c.loss }

// Repairs is the number of repair symbols for a block of k source symbols, 1..Source. A short
// block needs fewer than a full one; as long as full ones have any, it has one: it may hold the
// last message before silence.
func (c *Controller) Repairs(k int) int {
	if c.cfg.Fixed > 0 {
		return c.most
	}
	m, least := 0, min(c.least, max(1, c.least*k/c.cfg.Source))
	limit := c.limit[k*(c.most+1) : (k+1)*(c.most+1)]
	for m < c.most && (m == 0 && c.loss > cleanLoss || m > 0 && c.loss > limit[m]) {
		m++
	}
	return min(max(m+c.extra, least), c.most)
}

// Join takes in a receiver, and returns the number to report under.
func (c *Controller) Join() int {
	if n := len(c.free); n > 0 {
		i := c.free[n-1]
		c.free = c.free[:n-1]
		c.receivers[i] = Loss{used: true}
		return i
	}
	c.receivers = append(c.receivers, Loss{used: true})
	return len(c.receivers) - 1
}

// Leave forgets a receiver.
func (c *Controller) Leave(receiver int) {
	if c.receivers[receiver].used {
		c.receivers[receiver] = Loss{}
		c.free = append(c.free, receiver)
	}
}

// Reset forgets what receivers reported so far, as after losses that no repair symbol should answer.
func (c *Controller) Reset() {
	for i := range c.receivers {
		c.receivers[i] = Loss{used: c.receivers[i].used}
	}
	c.loss, c.extra, c.calm, c.lost, c.stayed = firstLoss, 0, 0, 0, 0
}

// Report takes in what a receiver reports: of sent datagrams so far, how many did not arrive at
// first, and how many of those repair symbols did not give back: they were asked for, or given
// up. All three only grow; one that shrinks is a receiver that began anew.
func (c *Controller) Report(receiver int, sent, missed, stayed uint64) {
	l := &c.receivers[receiver]
	was := *l
	l.sent, l.missed, l.stayed, l.known = sent, missed, stayed, true
	if !was.known || sent < was.sent || missed < was.missed || stayed < was.stayed {
		l.quick, l.slow = c.loss, c.loss
		return
	}
	n := float64(sent - was.sent)
	if n == 0 {
		return
	}
	lost := min(float64(missed-was.missed), n) // a receiver cannot lose more than was sent
	p := lost / n
	keep := math.Exp(-n / quickSpan)
	l.quick = l.quick*keep + p*(1-keep)
	keep = math.Exp(-n / slowSpan)
	l.slow = l.slow*keep + p*(1-keep)
	c.judge(lost, min(float64(stayed-was.stayed), lost))
	c.loss = 0
	for i := range c.receivers {
		if r := &c.receivers[i]; r.used {
			c.loss = max(c.loss, r.loss())
		}
	}
	if c.loss <= cleanLoss {
		c.extra, c.calm, c.lost, c.stayed = 0, 0, 0, 0
	}
}

// loss is what a receiver loses. The quick average counts with two standard deviations taken
// off: only what can hardly be chance raises it.
func (l *Loss) loss() float64 {
	return max(l.slow, l.quick-2*math.Sqrt(l.quick/(2*quickSpan)))
}

// judge compares what stayed lost with what was to be expected of independent losses. More of it
// means that losses come in bursts, and adds a repair symbol.
func (c *Controller) judge(lost, stayed float64) {
	c.lost += lost
	c.stayed += stayed
	if c.lost < burstLoss {
		return
	}
	switch share := c.stayed / c.lost; {
	case share > worstCount*c.cfg.Target:
		c.extra, c.calm = min(c.extra+1, c.most), 0
	case share <= c.cfg.Target && c.extra > 0:
		if c.calm++; c.calm == burstCalm {
			c.extra--
			c.calm = 0
		}
	default:
		c.calm = 0
	}
	c.lost, c.stayed = 0, 0
}

// budget holds repair symbols to a share of the source symbols over any stretch of a stream. The
// Controller bounds full blocks; but a slow stream's blocks are short, and each of them would have a
// repair symbol at least.
type budget struct {
	share  float64 // repair symbols for a source symbol; 0: no bound
	credit float64 // repair symbols that may be sent
	most   float64 // that can be saved
}

// newBudget makes the budget of groups of blocks with so many source symbols.
func newBudget(share float64, source, interleave int) budget {
	most := max(share*float64(source), 1) * float64(interleave)
	return budget{share: share, credit: most, most: most}
}

// spend returns how many of so many repair symbols a block of sources source symbols may have.
func (b *budget) spend(sources, repairs int) int {
	if b.share <= 0 {
		return repairs
	}
	b.credit = min(b.credit+b.share*float64(sources), b.most)
	n := min(repairs, int(b.credit+1e-9))
	b.credit -= float64(n)
	return n
}

// Residual is the share of source datagrams that stay lost when datagrams are lost independently
// with probability p, 0..1, and blocks have k source and m repair symbols.
//
// A source datagram stays lost when it is lost and m or more of the other k+m-1 are too:
//
//	p · P(Bin(k+m-1, p) ≥ m)
//
// which is the expected number of lost source symbols in blocks with more than m losses,
// Σ_(l>m) C(n, l) p^l (1-p)^(n-l) · l·k/n, over k.
func Residual(k, m int, p float64) float64 { return p * tail(k+m-1, m, p) }

// tail is P(Bin(n, p) ≥ m).
func tail(n, m int, p float64) float64 {
	switch {
	case m <= 0:
		return 1
	case m > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	// The smaller of the two sides is summed, from its largest term outwards.
	if float64(m) > float64(n)*p {
		sum, term := 0.0, term(n, m, p)
		for i := m; i <= n && term > sum*1e-17; i++ {
			sum += term
			term *= float64(n-i) / float64(i+1) * p / (1 - p)
		}
		return sum
	}
	sum, term := 0.0, term(n, m-1, p)
	for i := m - 1; i >= 0; i-- {
		sum += term
		term *= float64(i) / float64(n-i+1) * (1 - p) / p
	}
	return 1 - sum
}

// term is P(Bin(n, p) = i).
func term(n, i int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(i + 1))
	c, _ := math.Lgamma(float64(n - i + 1))
	return math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
}
