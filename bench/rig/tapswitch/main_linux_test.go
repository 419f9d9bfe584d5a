package main

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/rig"
)

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-to x:mtu=1400 a b": `invalid value "x:mtu=1400" for flag -to: "x:mtu=1400": want HOST:LINK`,
		"-from 0:speed=1 a":  `invalid value "0:speed=1" for flag -from: "speed": want rate`,
		"":                   "rig tap with 0 hosts",
	} {
		if err := run(strings.Fields(args), strings.NewReader(""), io.Discard); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}

// scripts/rig.sh tap: the hosts reach each other through the switch, but for what a cable does not carry.
func TestScript(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: make rig-test does it")
	}
	r, err := rig.New(rig.Tap, 2, rig.Options{})
	if errors.Is(err, rig.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	// Two packets of UDP to host 1, of which the longer one does not pass.
	const command = `set -e
exec 3>/dev/udp/10.66.76.2/4711
before=$(ip netns exec $RIG-1 cat /sys/class/net/net0/statistics/rx_bytes)
head -c 1373 /dev/zero >&3
head -c 1372 /dev/zero >&3
sleep 0.5
after=$(ip netns exec $RIG-1 cat /sys/class/net/net0/statistics/rx_bytes)
echo got $((after - before))`
	cmd := exec.Command(filepath.Join("..", "..", "..", "scripts", "rig.sh"), "tap", "2", "exec", "--to", "1", "mtu=1400", "--", "bash", "-c", command)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	got := -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "got "); ok {
			got = 0
			for _, c := range n {
				got = 10*got + int(c-'0')
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	// One of 1,414 bytes passes, and ARP's few.
	if got < 1414 || got > 1414+300 {
		t.Errorf("%d bytes came to host 1: %s", got, complaints.String())
	}
}
