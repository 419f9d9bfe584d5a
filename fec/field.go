package fec

// The field is GF(2^8) with the primitive polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), the one
// of RFC 5510, section 8.1. Addition is XOR.
const polynomial = 0x11d

// order is the number of elements other than zero: exponents count modulo it.
const order = 255

var expTable, logTable = fieldTables()

// fieldTables makes the powers of the generator 2, twice in a row so that the sum of two
// logarithms needs no reduction, and the logarithms.
func fieldTables() (exp [2 * order]byte, log [256]uint8) {
	x := 1
	for i := range order {
		exp[i], exp[i+order] = byte(x), byte(x)
		log[x] = uint8(i)
		if x <<= 1; x > 0xFF {
			x ^= polynomial
		}
	}
	return exp, log
}

// inverse is 1/a, for a other than zero.
func inverse(a byte) byte { return expTable[order-int(logTable[a])] }
