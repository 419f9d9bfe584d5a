package rigtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
)

// A ring of three in which nobody has anything to say rests: with Backoff each member takes at most a
// tenth of a core and receives at most 5,000 datagrams a second. In CI it may take twice as much.
func TestIdleRingRests(t *testing.T) {
	share, rate := 0.1, 5000.0
	if os.Getenv("CI") != "" || testing.Short() {
		share, rate = 2*share, 2*rate
	}
	const members = 3
	window := 3 * time.Second
	if testing.Short() {
		window = time.Second
	}
	for _, idle := range []string{"backoff", "block"} {
		t.Run(idle, func(t *testing.T) {
			r := build(t, rig.Bridge, members, rig.Options{})
			var all []*proc.Child
			for i := range members {
				all = append(all, start(t, r, i, member.Order{URI: overUDP, Protocol: "totem", Number: i, Members: members, Messages: 1, Idle: idle}))
			}
			for i, d := range converse(t, all) { // then all are in one ring, and stay there
				if d.Error != "" {
					t.Fatalf("member %d: %s", i, d.Error)
				}
			}
			var cpu [members]time.Duration
			var packets [members]uint64
			look := func(i int) (time.Duration, uint64) { return cpuOf(t, all[i].PID()), received(t, r, i) }
			for i := range members {
				cpu[i], packets[i] = look(i)
			}
			began := time.Now()
			<-time.After(window) // what is measured
			passed := time.Since(began).Seconds()
			for i := range members {
				c, n := look(i)
				cores, perSecond := (c-cpu[i]).Seconds()/passed, float64(n-packets[i])/passed
				t.Logf("member %d: %.1f %% of a core, %.0f datagrams/s", i, 100*cores, perSecond)
				if cores > share {
					t.Errorf("member %d takes %.1f %% of a core, want at most %.0f %%", i, 100*cores, 100*share)
				}
				if perSecond > rate {
					t.Errorf("member %d receives %.0f datagrams/s, want at most %.0f", i, perSecond, rate)
				}
			}
		})
	}
}

// cpuOf is the processor time that a process has used, user and system.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // behind the name, from field 3 on
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// received counts the packets that host i has received.
func received(t *testing.T, r *rig.Rig, i int) (packets uint64) {
	t.Helper()
	if err := r.Host(i).Run(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, rest, ok := strings.Cut(string(b), rig.Interface+":")
		if !ok {
			return fmt.Errorf("no %s in %s", rig.Interface, b)
		}
		packets, err = strconv.ParseUint(strings.Fields(rest)[1], 10, 64)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return packets
}
