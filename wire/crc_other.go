//go:build !amd64

package wire

import "hash/crc32"

// checksum is crc32.Update for Castagnoli's polynomial.
func checksum(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }
