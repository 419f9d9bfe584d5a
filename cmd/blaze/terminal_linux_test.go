package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen is a terminal that a command runs on.
type screen struct {
	t       *testing.T
	control *os.File
	cmd     *exec.Cmd
	text    strings.Builder
	parts   chan string
}

// onTerminal runs blaze on a terminal of so many columns.
func (s *shell) onTerminal(columns uint16, args ...string) *screen {
	s.t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.t.Skip("SKIPPED: no terminals here: ", err)
	}
	control := os.NewFile(uintptr(fd), "ptmx")
	s.t.Cleanup(func() { control.Close() })
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Skip("SKIPPED: no terminals here: ", err)
	}
	defer end.Close()
	c := &screen{t: s.t, control: control, cmd: exec.Command(os.Args[0], args...), parts: make(chan string)}
	c.cmd.Env, c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = s.env, end, end, end
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	go func() {
		defer close(c.parts)
		b := make([]byte, 4096)
		for {
			n, err := control.Read(b)
			if n > 0 {
				c.parts <- string(b[:n])
			}
			if err != nil { // the last process has closed the other end
				return
			}
		}
	}()
	return c
}

// until waits until the terminal shows text.
func (c *screen) until(text string) {
	c.t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(c.text.String(), text) {
		select {
		case part, ok := <-c.parts:
			if !ok {
				c.t.Fatalf("the terminal shows no %q:\n%s", text, &c.text)
			}
			c.text.WriteString(part)
		case <-limit:
			c.t.Fatalf("the terminal shows no %q after 20 s:\n%s", text, &c.text)
		}
	}
}

// end waits until the command has ended, and returns what the terminal showed.
func (c *screen) end() (string, int) {
	for part := range c.parts {
		c.text.WriteString(part)
	}
	_ = c.cmd.Wait()
	return c.text.String(), c.cmd.ProcessState.ExitCode()
}

func (c *screen) write(keys string) {
	if _, err := io.WriteString(c.control, keys); err != nil {
		c.t.Error(err)
	}
}

// A table ends where the terminal does, and ids are short there.
func TestTableOnTerminal(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	a, _ := s.start("inbox", "-q", "--name", strings.Repeat("a long name ", 8))
	b := s.onTerminal(80, "chat", "-q", "--name", "bob")
	for _, width := range []uint16{80, 40, 20} {
		text, code := s.onTerminal(width, "members", "--wait", "2").end()
		printed := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\r", "")), "\n")
		if code != statusDone || len(printed) != 3 || ids.MatchString(text) || !strings.HasPrefix(printed[2], "bob ") {
			t.Errorf("%d columns: status %d\n%s", width, code, text)
		}
		for _, line := range printed {
			if utf8.RuneCountInString(line) > int(width) {
				t.Errorf("wider than %d columns: %s", width, line)
			}
		}
	}
	_ = a.Process.Kill()
	_ = b.cmd.Process.Kill()
}

// On a terminal the prompt stays below what others say, and what was typed stays with it.
func TestChatOnTerminal(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.onTerminal(80, "chat", "--name", "ann")
	c.until("* you are ann; nobody else is there; /who, /msg NAME TEXT, /quit")
	c.until("> ")
	c.write("half a li")
	c.until("half a li")
	s.want(`printf 'hello \e[31mred\n/msg ann psst\n' | blaze chat -q --name bob`, "", 0)
	c.until("* bob is here")
	c.until(`bob: hello \x1b[31mred`)
	c.until("bob (to you): psst")
	c.until("* bob has left")
	c.write("\x15/who\r")
	c.until("* nobody else is there")
	c.write("/wo\r")
	c.until(`"/wo" is no command: /who, /msg NAME TEXT or /quit: did you mean /who?`)
	c.write("\x03") // Ctrl-C
	if text, code := c.end(); code != statusDone {
		t.Errorf("status %d\n%s", code, text)
	}
}
