//go:build !linux

// Command tapswitch needs Linux.
package main

import (
	"fmt"
	"os"

	"github.com/activeblaze/blaze/bench/rig"
)

func main() {
	fmt.Fprintln(os.Stderr, "tapswitch:", rig.Possible())
	os.Exit(1)
}
