package blaze

import (
	"errors"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestZeroConfig(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Fatalf("the zero Config is refused: %v", err)
	}
	// The table of defaults, as it is documented at each field.
	got := Config{}.withDefaults()
	if !strings.HasSuffix(got.Name, "-"+strconv.Itoa(os.Getpid())) {
		t.Errorf("Name = %q, want host name and process id", got.Name)
	}
	got.Name = ""
	want := Config{
		Cluster: "default", BroadcastURI: "udp://239.255.66.76:6676", Protocol: NACK, Lanes: 1, Window: 8 << 20, MaxMessageSize: 1 << 20,
		SubscriptionQueue: 4096, MaxStreams: 4096, SlowConsumer: Pause, FlowControl: Slowest, RepairTimeout: 5 * time.Second, HeartbeatInterval: 20 * time.Millisecond,
		HeartbeatRate:  800_000,
		FailureTimeout: 100 * time.Millisecond, Linger: time.Second, LockLease: 10 * time.Second, StateLimit: 4 << 30, Idle: Backoff, Logger: slog.Default(),
		FEC: FECConfig{SourceSymbols: 20, RepairSymbols: 2, MinRepair: 1, MaxRepair: 6, Interleave: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults are %+v\nwant %+v", got, want)
	}
	if again := want.withDefaults(); !reflect.DeepEqual(again.Name != "", true) || again.Window != want.Window {
		t.Errorf("defaults do not stay as they are: %+v", again)
	}
}

// Each of these sets one field alone, far from its default: the defaults of the others follow.
func TestDefaultsGiveWay(t *testing.T) {
	for _, cfg := range []Config{
		{Window: minWindow},
		{Window: maxWindow},
		{MaxMessageSize: 1},
		{MaxMessageSize: maxWindow / 2},
		{HeartbeatInterval: time.Minute},
		{HeartbeatInterval: time.Millisecond},
		{FailureTimeout: 5 * time.Millisecond},
		{FailureTimeout: 10 * time.Minute},
		{FEC: FECConfig{RepairSymbols: 64}},
		{FEC: FECConfig{MinRepair: -1}},
		{FEC: FECConfig{MinRepair: 64}},
		{FEC: FECConfig{MaxRepair: 1}},
		{Totem: TotemConfig{TokenLoss: time.Millisecond}},
		{Totem: TotemConfig{Profile: Isolated, Hold: 800 * time.Microsecond}},
	} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestValidateNamesTheField(t *testing.T) {
	long := strings.Repeat("n", 256)
	rows := []struct {
		cfg   Config
		names []string // field, value, what is allowed
	}{
		{Config{Name: long}, []string{"Name", "nnn…", "255"}},
		{Config{Name: "\xff"}, []string{"Name", `"\xff"`, "UTF-8"}},
		{Config{Cluster: long}, []string{"Cluster", "255"}},
		{Config{BroadcastURI: "udp://10.0.0.1:1"}, []string{"BroadcastURI", "10.0.0.1:1", "multicast"}},
		{Config{Protocol: 9}, []string{"Protocol", "9", "nack, besteffort, fec, hybrid or totem"}},
		{Config{Safe: true}, []string{"Safe", "true", "totem", "nack"}},
		{Config{Topics: make([]TopicConfig, 1025)}, []string{"Topics", "1025", "1024"}},
		{Config{Topics: []TopicConfig{{Pattern: "a.>"}, {Pattern: "a..b"}}}, []string{"Topics[1].Pattern", "a..b", "empty"}},
		{Config{Topics: []TopicConfig{{Pattern: "a", Protocol: 9}}}, []string{"Topics[0].Protocol", "9"}},
		{Config{Topics: []TopicConfig{{Pattern: "a", Safe: true}}}, []string{"Topics[0].Safe", "totem"}},
		{Config{Lanes: 65}, []string{"Lanes", "65", "1 to 64"}},
		{Config{Lanes: -1}, []string{"Lanes", "-1", "1 to 64"}},
		{Config{Window: minWindow - 1}, []string{"Window", "65535", "65536"}},
		{Config{Window: maxWindow + 1}, []string{"Window", "1073741825", "1073741824"}},
		{Config{Window: 1 << 20, MaxMessageSize: 1 << 20}, []string{"MaxMessageSize", "1048576", "524288", "Window"}},
		{Config{MaxMessageSize: -1}, []string{"MaxMessageSize", "-1", "1 to"}},
		{Config{MaxMessageSize: 1 << 30}, []string{"MaxMessageSize", "1073741824", "536870912"}},
		{Config{SubscriptionQueue: -1}, []string{"SubscriptionQueue", "-1", "1 to 1048576"}},
		{Config{SubscriptionQueue: 1 << 21}, []string{"SubscriptionQueue", "2097152", "1 to 1048576"}},
		{Config{SlowConsumer: 9}, []string{"SlowConsumer", "9", "pause, drop or disconnect"}},
		{Config{CongestionControl: 2}, []string{"CongestionControl", "2", "auto or off"}},
		{Config{RepairTimeout: time.Millisecond}, []string{"RepairTimeout", "1ms", "100ms to 10m"}},
		{Config{SlowestFor: time.Millisecond}, []string{"SlowestFor", "1ms", "100ms to 24h0m0s, or 0"}},
		{Config{SlowestFor: -time.Second}, []string{"SlowestFor", "-1s", "100ms to 24h0m0s, or 0"}},
		{Config{SlowestFor: 25 * time.Hour}, []string{"SlowestFor", "25h0m0s", "100ms to 24h0m0s, or 0"}},
		{Config{FlowControl: 9}, []string{"FlowControl", "9", "slowest or fastest"}},
		{Config{MaxRate: -1}, []string{"MaxRate", "-1", "64000"}},
		{Config{MaxRate: 63_999}, []string{"MaxRate", "63999", "64000"}},
		{Config{HeartbeatInterval: -1}, []string{"HeartbeatInterval", "-1ns", "1ms"}},
		{Config{HeartbeatInterval: time.Hour}, []string{"HeartbeatInterval", "1h0m0s", "1m0s"}},
		{Config{HeartbeatRate: 1}, []string{"HeartbeatRate", "1", "64000 to 100000000000"}},
		{Config{HeartbeatRate: -1}, []string{"HeartbeatRate", "-1"}},
		{Config{HeartbeatInterval: 60 * time.Millisecond, FailureTimeout: 100 * time.Millisecond}, []string{"FailureTimeout", "100ms", "120ms"}},
		{Config{FailureTimeout: time.Millisecond, HeartbeatInterval: time.Millisecond}, []string{"FailureTimeout", "1ms", "2ms"}},
		{Config{FailureTimeout: 1}, []string{"FailureTimeout", "1ns", "2ms"}}, // not HeartbeatInterval, which follows it
		{Config{FailureTimeout: -time.Second}, []string{"FailureTimeout", "-1s"}},
		{Config{BroadcastURI: "xdp://239.255.66.76:6676"}, []string{"BroadcastURI: interface", "?interface=NAME"}},
		{Config{Linger: -1}, []string{"Linger", "-1ns", "10m"}},
		{Config{Linger: time.Hour}, []string{"Linger", "1h", "10m"}},
		{Config{LockLease: -1}, []string{"LockLease", "-1ns", "1ms"}},
		{Config{ExpectedMembers: 17}, []string{"ExpectedMembers", "17", "0 to 16"}},
		{Config{StateLimit: 1}, []string{"StateLimit", "1", "1048576 to 1099511627776"}},
		{Config{ExpectedMembers: -1}, []string{"ExpectedMembers", "-1", "0 to 16"}},
		{Config{Idle: 9}, []string{"Idle", "9", "backoff, busyspin or block"}},
		{Config{EngineCPUs: []int{-1}}, []string{"EngineCPUs[0]", "-1"}},
		{Config{EngineCPUs: []int{1, 1}}, []string{"EngineCPUs[1]", "twice"}},
		{Config{EngineCPUs: []int{1}, Invoker: true}, []string{"EngineCPUs", "[1]", "Invoker"}},
		{Config{FEC: FECConfig{SourceSymbols: 65}}, []string{"FEC.SourceSymbols", "65", "1 to 64"}},
		{Config{FEC: FECConfig{MinRepair: -2}}, []string{"FEC.MinRepair", "-2", "-1"}},
		{Config{FEC: FECConfig{MaxRepair: 65}}, []string{"FEC.MaxRepair", "65", "64"}},
		{Config{FEC: FECConfig{MinRepair: 3, MaxRepair: 2}}, []string{"FEC.MaxRepair", "2", "3"}},
		{Config{FEC: FECConfig{RepairSymbols: -1}}, []string{"FEC.RepairSymbols", "-1"}},
		{Config{FEC: FECConfig{RepairSymbols: 7, MaxRepair: 6}}, []string{"FEC.RepairSymbols", "7", "6"}},
		{Config{FEC: FECConfig{RepairSymbols: 70}}, []string{"FEC.RepairSymbols", "70", "64"}}, // not MaxRepair, which follows it
		{Config{FEC: FECConfig{Interleave: 17}}, []string{"FEC.Interleave", "17", "1 to 16"}},
		{Config{Totem: TotemConfig{Profile: 9}}, []string{"Totem.Profile", "9", "lan, isolated or shared"}},
		{Config{Totem: TotemConfig{TokenLoss: -1}}, []string{"Totem.TokenLoss", "-1ns", "1ms"}},
		{Config{Totem: TotemConfig{Hold: 5 * time.Millisecond}}, []string{"Totem.Hold", "5ms", "4ms"}},
		{Config{Totem: TotemConfig{Hold: 50 * time.Millisecond}}, []string{"Totem.Hold", "50ms", "token"}},
	}
	for _, row := range rows {
		before := row.cfg.clone()
		err := row.cfg.Validate()
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%v was taken: %v", row.names, err)
			continue
		}
		for _, name := range row.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%v: must name %q", err, name)
			}
		}
		if !reflect.DeepEqual(row.cfg, before) {
			t.Errorf("%v: Validate changed the Config", err)
		}
	}
	if err := (Config{Topics: []TopicConfig{{Pattern: "."}}}).Validate(); !errors.Is(err, ErrTopic) {
		t.Errorf("a bad pattern: %v, want ErrTopic as well", err)
	}
	if err := (Config{BroadcastURI: "udp://[::1]:1"}).Validate(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an IPv6 address: %v, want ErrUnsupported as well", err)
	}
}

func TestWithDefaultsSharesNothing(t *testing.T) {
	cfg := Config{Topics: []TopicConfig{{Pattern: "a"}}, EngineCPUs: []int{1}}
	got := cfg.withDefaults()
	cfg.Topics[0].Pattern, cfg.EngineCPUs[0] = "b", 2
	if got.Topics[0].Pattern != "a" || got.EngineCPUs[0] != 1 {
		t.Error("a later change of the slices reached the copy")
	}
}

func TestTopicErrors(t *testing.T) {
	for _, topic := range []string{"", ".", "a.", "a.*", ">", "a.\x00", "a\nb", "\x7f", "a.\u0085"} {
		if err := validateTopic(topic); !errors.Is(err, ErrTopic) {
			t.Errorf("publishing on %q: %v, want ErrTopic", topic, err)
		}
	}
	if err := errors.Join(validateTopic("a.b"), validatePattern("a.*.>")); err != nil {
		t.Error(err)
	}
	for pattern, want := range map[string]bool{
		"prices/#": true, "prices.#": true, "+": true, "a.+.b": true, "a/b": true, "c#.net": false, "a.*.>": false, "1+1": false,
	} {
		if got := foreignWildcards(pattern); got != want {
			t.Errorf("foreignWildcards(%q) = %v", pattern, got)
		}
	}
	if err := validatePattern("a.>.b"); !errors.Is(err, ErrTopic) {
		t.Errorf("a bad pattern: %v, want ErrTopic", err)
	}
}

// Every configuration of the ring that Validate accepts makes timers that the ring accepts.
func TestTotemProfilesAreValid(t *testing.T) {
	for _, profile := range []TotemProfile{LAN, Isolated, Shared} {
		for _, loss := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 100 * time.Millisecond, time.Minute} {
			for _, idle := range []Idle{BusySpin, Backoff, Block} {
				cfg := Config{Idle: idle, Totem: TotemConfig{Profile: profile, TokenLoss: loss}}
				quiet := cfg.Totem.profile(idle)
				if hold := quiet.Hold; hold > 0 != (idle != BusySpin) {
					t.Errorf("%v, %v: holds for %v", profile, idle, hold)
				}
				longest := longestHold(quiet)
				for _, hold := range []time.Duration{0, 1, longest, longest + 1} {
					cfg.Totem.Hold = hold
					err := cfg.Validate()
					if (err == nil) != (hold <= longest) {
						t.Errorf("%v, token loss %v, hold %v of at most %v: %v", profile, loss, hold, longest, err)
					}
					if p := cfg.Totem.profile(idle); err == nil && p.Validate() != nil {
						t.Errorf("%v, token loss %v, hold %v: %v", profile, loss, hold, p.Validate())
					}
				}
			}
		}
	}
}
