//go:build !linux

package store

import (
	"errors"
	"os/exec"
)

func ownMounts(*exec.Cmd) {}

func mountTmpfs(string, string) error { return errors.ErrUnsupported }
func remountReadOnly(string) error    { return errors.ErrUnsupported }
func limitFiles(uint64) error         { return errors.ErrUnsupported }
