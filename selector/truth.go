package selector

// Truth is a value of three-valued logic. The order of the constants matters: AND is the lesser of two, OR the
// greater one.
type Truth uint8

// The values of a condition.
const (
	False Truth = iota
	Unknown
	True
)

// And is table 3-4 of the specification.
func (t Truth) And(u Truth) Truth { return min(t, u) }

// Or is table 3-5.
func (t Truth) Or(u Truth) Truth { return max(t, u) }

// Not is table 3-6.
func (t Truth) Not() Truth { return True - t }

// String is the lower-case name.
func (t Truth) String() string {
	switch t {
	case False:
		return "false"
	case Unknown:
		return "unknown"
	}
	return "true"
}

func truthOf(b bool) Truth {
	if b {
		return True
	}
	return False
}

// negatedIf is for NOT BETWEEN, NOT IN, NOT LIKE and IS NOT NULL.
func (t Truth) negatedIf(not bool) Truth {
	if not {
		return t.Not()
	}
	return t
}
