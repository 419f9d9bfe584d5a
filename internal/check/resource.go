package check

// RS2 (buffers): at a quiet point every buffer of a pool is free again, but for those that
// named holders own.
func RS2(where string, count, free int, held ...int) []Violation {
	r := report{id: "RS-2"}
	sum := free
	for _, h := range held {
		sum += h
	}
	if sum != count {
		r.add(-1, "%s: %d of %d buffers are free, %v are held", where, free, count, held)
	}
	return r.done()
}

// RS5 (determinism): two runs of one seed have the same trace.
func RS5(seed, first, second uint64) []Violation {
	r := report{id: "RS-5"}
	if first != second {
		r.add(-1, "seed %d gave trace %016x, and then %016x", seed, first, second)
	}
	return r.done()
}

// RS7 (counters): what went in is accounted for, each under one of the counters in out.
func RS7(where string, in uint64, out ...uint64) []Violation {
	r := report{id: "RS-7"}
	var sum uint64
	for _, n := range out {
		sum += n
	}
	if sum != in {
		r.add(-1, "%s: %d went in, %d are accounted for (%v)", where, in, sum, out)
	}
	return r.done()
}

// SE3 (no effect): what was refused has left the protocol's state as it was.
func SE3(where string, before, after uint64) []Violation {
	r := report{id: "SE-3"}
	if before != after {
		r.add(-1, "%s: state %016x became %016x", where, before, after)
	}
	return r.done()
}
