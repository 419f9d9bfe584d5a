package fec

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

// spend tells how many of so many repair symbols a block of sources source symbols may have.
func (b *budget) spend(sources, repairs int) int {
	if b.share <= 0 {
		return repairs
	}
	b.credit = min(b.credit+b.share*float64(sources), b.most)
	n := min(repairs, int(b.credit+1e-9))
	b.credit -= float64(n)
	return n
}
