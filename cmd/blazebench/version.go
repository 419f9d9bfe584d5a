package main

import (
	"flag"
	"fmt"
	"runtime"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/wire"
)

// printVersion prints what the program is built of.
func printVersion(args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench version", flag.ContinueOnError)
	switch err := parse(fs, args, out, ""); {
	case err != nil:
		return err
	case fs.NArg() > 0:
		return usagef("version: unexpected argument %q", fs.Arg(0))
	}
	commit := measure.Commit()
	if commit == "" {
		commit = "commit not known"
	}
	fmt.Fprintf(out.stdout, "blazebench %s, %s, wire version %d, %s %s/%s\n", measure.Module(), commit, wire.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
