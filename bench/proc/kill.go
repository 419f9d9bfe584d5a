package proc

import (
	"errors"
	"os"
)

// Kill ends the child at once, as a crash would: on Unix by SIGKILL. It must still be closed. That
// it has ended already is no error.
func (c *Child) Kill() error {
	if err := c.cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
