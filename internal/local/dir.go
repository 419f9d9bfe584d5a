package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Dir is the directory of the user: blaze in $XDG_RUNTIME_DIR, or, where that is not set, blaze-UID in the directory of
// temporary files.
func Dir() string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		return filepath.Join(d, "blaze")
	}
	return filepath.Join(os.TempDir(), "blaze-"+strconv.Itoa(os.Getuid()))
}

// open makes the directory if it is not there, and refuses one that others can change or look into.
func open(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return check(dir)
}

// check refuses a directory that is not this user's alone.
func check(dir string) error {
	i, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !i.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case i.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o: others have access; remove it, or chmod 0700", dir, i.Mode().Perm())
	case owner(i) != os.Getuid():
		return fmt.Errorf("%s belongs to another user", dir)
	}
	return nil
}
