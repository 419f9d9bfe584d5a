package fec

import "math"

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
