package main

import (
	"encoding/json"
	"flag"
	"io"

	"github.com/activeblaze/blaze/cmd/internal/doctor"
)

// examine prints what this host offers to AF_XDP. It changes nothing and sends nothing.
func examine(args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench doctor", flag.ContinueOnError)
	file := fs.String("json", "", "write the findings as one JSON object to `file`; - is standard output")
	switch err := parse(fs, args, out, ""); {
	case err != nil:
		return err
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	}
	if err := mayWrite(*file); err != nil {
		return err
	}
	r, err := doctor.Look()
	if err != nil {
		return err
	}
	if *file != "-" {
		if err := r.Write(out.stdout); err != nil {
			return err
		}
	}
	return writeTo(*file, out.stdout, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}
