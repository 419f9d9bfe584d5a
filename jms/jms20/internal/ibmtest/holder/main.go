// Command holder holds the queues of a cluster until its standard input ends. scripts/jms20.sh runs three of them. It
// prints a line once it holds.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/activeblaze/blaze/jms"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string) error {
	f, err := jms.Open(url)
	if err != nil {
		return err
	}
	c, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	fmt.Println("holding")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return c.Close()
}
