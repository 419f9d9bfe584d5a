package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/activeblaze/blaze/cmd/internal/dump"
)

// dumpFile prints the datagrams of a capture in words: pcap or pcapng, of an xdp driver's tap (&tap=FILE), tcpdump or
// Wireshark.
func dumpFile(args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench dump", flag.ContinueOnError)
	first := fs.Int("first", 0, "print only as many `packets`; 0: all")
	switch err := parse(fs, args, out, "blazebench dump [options] FILE: print the datagrams of a capture, such as ?tap=FILE of an xdp:// URI writes\n"); {
	case err != nil:
		return err
	case fs.NArg() != 1:
		return usagef("dump: want one capture file")
	case *first < 0:
		return usagef("--first %d: want 0 (all) or more", *first)
	}
	f, err := os.Open(fs.Arg(0))
	if err != nil {
		return err
	}
	defer f.Close()
	b := bufio.NewWriterSize(out.stdout, 64<<10)
	r, err := dump.Open(bufio.NewReaderSize(f, 256<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", fs.Arg(0), err)
	}
	w := dump.NewWriter(b)
	for err == nil && (*first == 0 || w.Packets < *first) {
		var p dump.Packet
		if p, err = r.Next(); err == nil {
			if err := w.Write(&p); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b, "%s: %s of ours, %d damaged or of others, %d other packets\n",
		plural(w.Packets, "packet"), plural(w.Datagrams, "datagram"), w.Damaged, w.Others)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		fmt.Fprintln(b, "the file ends within a packet: it is still being written, or its writer was killed")
		err = nil
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if flush := b.Flush(); err == nil {
		err = flush
	}
	if err != nil {
		return fmt.Errorf("%s: %w", fs.Arg(0), err)
	}
	return nil
}
