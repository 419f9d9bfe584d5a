package abi

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze"
)

// counted is memory of Go's heap that counts what is out.
type counted struct {
	mu  sync.Mutex
	out map[unsafe.Pointer][]byte
}

func (c *counted) Alloc(n int) unsafe.Pointer {
	b := make([]byte, n)
	p := unsafe.Pointer(&b[0])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out[p] = b
	return p
}

func (c *counted) Free(p unsafe.Pointer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out[p] == nil {
		panic("memory that is not out is freed")
	}
	clear(c.out[p])
	delete(c.out, p)
}

func (c *counted) lent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out)
}

var memory = &counted{out: map[unsafe.Pointer][]byte{}}

func TestMain(m *testing.M) {
	Heap = memory
	os.Exit(m.Run())
}

// clean fails where handles or memory are out at the end of a test.
func clean(t *testing.T) {
	t.Helper()
	open, lent := Open(), memory.lent()
	t.Cleanup(func() {
		if n := Open(); n != open {
			t.Errorf("%d handles are open, %d at the beginning", n, open)
		}
		if n := memory.lent(); n != lent {
			t.Errorf("%d pieces of memory are out, %d at the beginning", n, lent)
		}
	})
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func none(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var ports atomic.Int32

// settingsFor are those of a member on loopback that meets only those of its own test.
func settingsFor(t *testing.T) uint64 {
	t.Helper()
	h := must[uint64](t)(NewConfig())
	for name, value := range map[string]string{
		"Cluster": fmt.Sprintf("%s-%d", t.Name(), os.Getpid()), "Window": "262144", "MaxMessageSize": "65536", "SubscriptionQueue": "64", "Idle": "block",
		"BroadcastURI": fmt.Sprintf("udp://239.255.66.76:%d?interface=lo", 20000+(os.Getpid()+int(ports.Add(1)))%20000), "Linger": "100ms",
	} {
		none(t, SetConfig(h, name, value))
	}
	t.Cleanup(func() { _ = Close(h) })
	none(t, LogTo(h, 8, func(_ int, line string) { fmt.Fprintln(os.Stderr, line) }))
	return h
}

func startedFor(t *testing.T, settings uint64, kind int) uint64 {
	t.Helper()
	h := must[uint64](t)(NewChannel(settings, kind))
	none(t, Start(h))
	t.Cleanup(func() { _ = Close(h) })
	return h
}

// Every sentinel of the Go API has a code of its own, and blaze.h has the same.
func TestCodes(t *testing.T) {
	source := must[[]byte](t)(os.ReadFile("../../../../errors.go"))
	header := must[[]byte](t)(os.ReadFile("../../blaze.h"))
	listed := must[[]byte](t)(os.ReadFile("errors.go"))
	inHeader := map[string]int{}
	for _, m := range regexp.MustCompile(`(BLAZE_E_[A-Z_]+) = (-[0-9]+)`).FindAllStringSubmatch(string(header), -1) {
		inHeader[m[1]], _ = strconv.Atoi(m[2])
	}
	inTable := map[string]string{}
	for _, m := range regexp.MustCompile(`\{blaze\.(Err[A-Za-z]+), (-[0-9]+)\}`).FindAllStringSubmatch(string(listed), -1) {
		inTable[m[1]] = m[2]
	}
	sentinels := regexp.MustCompile(`(?m)^\t(Err[A-Za-z]+) += errors\.New`).FindAllStringSubmatch(string(source), -1)
	if len(sentinels) < 15 {
		t.Fatalf("only %d sentinels found", len(sentinels))
	}
	for _, m := range sentinels {
		name := "BLAZE_E" + strings.ToUpper(regexp.MustCompile(`[A-Z]`).ReplaceAllString(m[1][3:], "_$0"))
		if code, ok := inHeader[name]; !ok || inTable[m[1]] != strconv.Itoa(code) {
			t.Errorf("%s: %s is %d in blaze.h and %q here", m[1], name, code, inTable[m[1]])
		}
	}
	for name, code := range map[string]int{
		"BLAZE_E_HANDLE": CodeHandle, "BLAZE_E_TIMEOUT": CodeTimeout, "BLAZE_E_FORKED": CodeForked, "BLAZE_E_NOT_FOUND": CodeNotFound, "BLAZE_E_FAILED": CodeFailed,
	} {
		if inHeader[name] != code {
			t.Errorf("%s is %d in blaze.h, %d here", name, inHeader[name], code)
		}
	}
	both := fmt.Errorf("%w: %w", blaze.ErrNoSuchMember, blaze.ErrUnknownOutcome)
	if code, matches := Code(both); code != -12 || matches != 1<<12|1<<5 {
		t.Errorf("two at a time: %d, %#x", code, matches)
	}
	if code, _ := Code(errors.New("x")); code != CodeFailed {
		t.Errorf("another error: %d", code)
	}
	if code, matches := Code(nil); code != OK || matches != 0 {
		t.Errorf("none: %d, %#x", code, matches)
	}
}

// The enumerations of blaze.h count as the Go API's do.
func TestEnumerations(t *testing.T) {
	header := string(must[[]byte](t)(os.ReadFile("../../blaze.h")))
	for first, names := range map[string][]any{
		"BLAZE_CONSTRUCTED = 0":       {blaze.Constructed, blaze.Initialized, blaze.Started, blaze.Stopped},
		"BLAZE_KIND_RAW = 0":          {blaze.KindRaw, blaze.KindMessage},
		"BLAZE_LOSS_UNREPAIRED = 1":   {blaze.LossUnrepaired, blaze.LossSenderGone, blaze.LossRetention, blaze.LossReset, blaze.LossSlowConsumer, blaze.LossMalformed, blaze.LossRefused, blaze.LossTimeout},
		"BLAZE_STREAM_STARTED = 1":    {blaze.StreamStarted, blaze.StreamSilent, blaze.StreamResumed, blaze.StreamLeft, blaze.StreamRefused, blaze.ReceiverJoined, blaze.ReceiverLeft, blaze.ReceiverEvicted},
		"BLAZE_VIEW_TRANSITIONAL = 1": {blaze.ViewTransitional, blaze.ViewRegular},
		"BLAZE_VALUE_NONE = 0":        {blaze.NoKind, blaze.ByteKind, blaze.BytesKind, blaze.CharKind, blaze.BoolKind, blaze.Int16Kind, blaze.Int32Kind, blaze.Int64Kind, blaze.Float32Kind, blaze.Float64Kind, blaze.StringKind, blaze.MapKind},
		"BLAZE_MEMBER_STARTED = 1":    {blaze.MemberStarted, blaze.MemberStopped, blaze.MemberFailed, blaze.MemberJoinedGroup, blaze.MemberLeftGroup},
		"BLAZE_MAP_PRESENT = 1":       {blaze.MapPresent, blaze.MapPut, blaze.MapDeleted, blaze.MapExpired, blaze.MapOwnerGone, blaze.MapReset},
	} {
		_, rest, found := strings.Cut(header, first)
		list, _, _ := strings.Cut(rest, "}")
		if !found {
			t.Errorf("blaze.h has no %s", first)
			continue
		}
		begin, _ := strconv.Atoi(first[strings.LastIndex(first, " ")+1:])
		parts := strings.Split(list, ",")
		if len(parts) != len(names) {
			t.Errorf("%s: %d names in blaze.h, %d here", first, len(parts), len(names))
		}
		for i, name := range names {
			if n := int(reflect.ValueOf(name).Uint()); n != begin+i {
				t.Errorf("%s: %v is %d and has place %d", first, name, n, begin+i)
			}
			if i > 0 && i < len(parts) && strings.Contains(parts[i], "=") && !strings.Contains(parts[i], fmt.Sprint("= ", begin+i)) {
				t.Errorf("%s: %q has not place %d", first, strings.TrimSpace(parts[i]), begin+i)
			}
		}
	}
}

// blaze.map exports what blaze.h declares, and nothing else.
func TestExports(t *testing.T) {
	header := string(must[[]byte](t)(os.ReadFile("../../blaze.h")))
	script := string(must[[]byte](t)(os.ReadFile("../../blaze.map")))
	var declared, exported []string
	for _, m := range regexp.MustCompile(`BLAZE_API [a-z0-9_ ]*\**(blaze_[a-z0-9_]+)\(`).FindAllStringSubmatch(header, -1) {
		declared = append(declared, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(blaze_[a-z0-9_]+);`).FindAllStringSubmatch(script, -1) {
		exported = append(exported, m[1])
	}
	slices.Sort(declared)
	slices.Sort(exported)
	if len(declared) < 90 || !slices.Equal(declared, exported) {
		t.Errorf("blaze.h declares %d functions, blaze.map exports %d, which are not the same:\n%v\n%v", len(declared), len(exported), declared, exported)
	}
}

// Every field of Config that can be set from a text is, and the others are named.
func TestEveryFieldOfConfig(t *testing.T) {
	h := must[uint64](t)(NewConfig())
	defer Close(h)
	samples := map[string]string{
		"Protocol": "hybrid", "Totem.Profile": "shared", "SlowConsumer": "drop", "FlowControl": "fastest", "CongestionControl": "off", "Sync": "interval",
		"Idle": "block", "Topics": "a.>=totem,safe", "EngineCPUs": "1, 2",
	}
	cannot := []string{"Logger", "FEC", "Totem"}
	all := names(reflect.TypeFor[blaze.Config](), "")
	for f := range reflect.TypeFor[blaze.Config]().Fields() {
		if f.IsExported() && !slices.Contains(cannot, f.Name) && !slices.Contains(all, f.Name) && f.Type.Kind() != reflect.Pointer && f.Type.Kind() != reflect.Interface {
			t.Errorf("Config.%s cannot be set", f.Name)
		}
	}
	for _, name := range all {
		value := samples[name]
		field, _, err := find(reflect.ValueOf(new(blaze.Config)).Elem(), name)
		none(t, err)
		switch {
		case value != "":
		case field.Type() == duration:
			value = "17ms"
		case field.Kind() == reflect.Bool:
			value = "true"
		case field.Kind() == reflect.String:
			value = "text"
		default:
			value = "17"
		}
		if err := SetConfig(h, strings.ToUpper(name), value); err != nil {
			t.Errorf("%s = %s: %v", name, value, err)
		}
		s, err := look[*settings](h, KindConfig)
		none(t, err)
		if set, _, _ := find(reflect.ValueOf(&s.cfg).Elem(), name); set.IsZero() {
			t.Errorf("%s = %s changed nothing", name, value)
		}
	}
	for _, bad := range [][2]string{
		{"Window", "x"}, {"Linger", "5"}, {"Invoker", "perhaps"}, {"EngineCPUs", "1;2"}, {"Topics", "a"}, {"Topics", "a=nack,certain"}, {"Topics", "a=x"},
		{"Logger", "x"}, {"FEC", "x"}, {"FEC.x", "1"}, {"hooks", "1"}, {"", ""}, {"test.loss", "2"}, {"test.loss", "NaN"}, {"test.seed", "-1"}, {"Window", "99999999999999999999"},
	} {
		if err := SetConfig(h, bad[0], bad[1]); !errors.Is(err, blaze.ErrConfig) {
			t.Errorf("%s = %s: %v", bad[0], bad[1], err)
		}
	}
}

// A handle is used up: what is made in its slot later has another number.
func TestHandles(t *testing.T) {
	clean(t)
	seen := map[uint64]bool{}
	for range 5 * minFree {
		h := must[uint64](t)(NewMessage())
		if seen[h] || h == 0 {
			t.Fatalf("handle %#x came twice", h)
		}
		seen[h] = true
		none(t, Close(h))
		if err := Close(h); !errors.Is(err, ErrHandle) {
			t.Fatal(err)
		}
	}
	m := must[uint64](t)(NewMessage())
	defer Close(m)
	for _, h := range []uint64{0, 1, m + 1, m ^ 1<<24, m ^ 1<<32, ^uint64(0), 1 << 63, 5 << slotBits} {
		if err := Keep(h); !errors.Is(err, ErrHandle) {
			t.Errorf("%#x: %v", h, err)
		}
		if err := Offer(h, nil); !errors.Is(err, ErrHandle) {
			t.Errorf("%#x: %v", h, err)
		}
	}
	if err := Offer(m, nil); !errors.Is(err, ErrHandle) || !strings.Contains(err.Error(), "a message, and a publisher was wanted") {
		t.Error(err)
	}
}

// What a poll hands out is what was sent, in order, whatever the batches; the handler waits while nobody polls.
func TestPoll(t *testing.T) {
	clean(t)
	cfg := settingsFor(t)
	c := startedFor(t, cfg, PlainChannel)
	s := must[uint64](t)(SubscribePoll(c, "a.*"))
	p, q := must[uint64](t)(NewPublisher(c, "a.x")), must[uint64](t)(NewPublisher(c, "a.longer"))
	const messages = 3000
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			to := p
			if i%3 == 0 {
				to = q
			}
			payload := []byte(strings.Repeat(strconv.Itoa(i%10), i%200))
			if i%500 == 0 {
				payload = make([]byte, 60000)
			}
			for {
				err := Offer(to, payload)
				if err == nil {
					break
				}
				if err != blaze.ErrBackPressure {
					sent <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
		sent <- nil
	}()
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < messages; {
		n, err := Poll(s, 1+r.IntN(300), 30000, func(at int, e *Event) {
			want, topic := strings.Repeat(strconv.Itoa(i%10), i%200), "a.x\x00"
			if i%500 == 0 {
				want = string(make([]byte, 60000))
			}
			if i%3 == 0 {
				topic = "a.longer\x00"
			}
			if e.Loss != nil || unsafe.String((*byte)(e.Payload), e.Length) != want || unsafe.String((*byte)(e.Topic), e.TopicLength+1) != topic {
				t.Errorf("message %d is another one", i)
			}
			i++
		})
		none(t, err)
		if n == 0 {
			t.Fatal("a poll without events")
		}
	}
	none(t, <-sent)
	if _, err := Poll(s, 1, 0, nil); err != ErrTimeout {
		t.Error(err)
	}
	waiting := make(chan error, 1)
	go func() { _, err := Poll(s, 1, Forever, nil); waiting <- err }()
	time.Sleep(time.Millisecond)
	none(t, Close(s))
	if err := <-waiting; !errors.Is(err, blaze.ErrClosed) && !errors.Is(err, ErrHandle) {
		t.Error(err)
	}
	none(t, Close(c))
	none(t, Close(cfg))
}

// Closing a channel does not wait for a subscription that nobody polls, and closes all that was made from it.
func TestCloseEndsEverything(t *testing.T) {
	clean(t)
	cfg := settingsFor(t)
	c := startedFor(t, cfg, ClusterChannel)
	all := []uint64{
		must[uint64](t)(SubscribePoll(c, ">")), must[uint64](t)(NewPublisher(c, "a")), must[uint64](t)(NewMap(c, "m")),
		must[uint64](t)(Subscribe(c, ">", true, func(*blaze.Delivery) {}, nil)), must[uint64](t)(OnStream(c, func(blaze.StreamEvent) {})),
		must[uint64](t)(OnMember(c, func(blaze.MemberEvent) {})), must[uint64](t)(HandleInbox(c, "", func(uint64) {})),
		must[uint64](t)(Consume(c, "q", true, func(uint64) int { return 0 })), must[uint64](t)(OnMaster(c, func(blaze.Member) {})),
	}
	all = append(all, must[uint64](t)(Watch(all[2], "", func(blaze.MapEvent) {})))
	claimed, room, err := NewClaim(all[1], 100)
	none(t, err)
	room[99] = 1
	for range 4 * batchEvents {
		if err := Offer(all[1], []byte("x")); err != nil && err != blaze.ErrBackPressure {
			t.Fatal(err)
		}
	}
	_ = Close(c) // not all was received: an open claim, and nobody polls
	for _, h := range append(all, claimed, c) {
		if err := Close(h); !errors.Is(err, ErrHandle) {
			t.Errorf("%#x: %v", h, err)
		}
	}
	none(t, Close(cfg))
}

// Memory that a message lends is given back when the message changes or is closed.
func TestMessageLends(t *testing.T) {
	clean(t)
	before := memory.lent()
	m, inner := must[uint64](t)(NewMessage()), must[uint64](t)(NewMessage())
	none(t, Set(inner, "k", &Value{Kind: uint32(blaze.StringKind)}, []byte("deep")))
	none(t, Set(m, "map", &Value{Kind: uint32(blaze.MapKind), Map: inner}, nil))
	none(t, Set(m, "s", &Value{Kind: uint32(blaze.StringKind)}, []byte("text")))
	none(t, Close(inner))
	within := must[Value](t)(Get(m, "map")).Map
	for range 3 {
		v := must[Value](t)(Get(m, "s"))
		if got := unsafe.String((*byte)(v.Data), v.Length+1); got != "text\x00" {
			t.Errorf("%q", got)
		}
		if got := must[Value](t)(Get(within, "k")); unsafe.String((*byte)(got.Data), got.Length) != "deep" {
			t.Error("the inner text is another one")
		}
	}
	if n := memory.lent() - before; n != 2 {
		t.Errorf("%d pieces are lent, want one for each text", n)
	}
	none(t, Delete(within, "nothing"))
	if n := memory.lent() - before; n != 0 {
		t.Errorf("%d pieces are lent after a change", n)
	}
	none(t, Close(m))
	if _, err := Get(within, "k"); !errors.Is(err, ErrHandle) {
		t.Errorf("what lies in a message outlives it: %v", err)
	}
}

// Ten goroutines call everything at once: the race detector watches.
func TestTenCallers(t *testing.T) {
	long := 5 * time.Second
	if testing.Short() {
		long = time.Second
	}
	clean(t)
	cfg := settingsFor(t)
	const each = 4
	var shared [KindLock + 1][each]atomic.Uint64
	var calls, heard atomic.Int64
	until := time.Now().Add(long)
	var wait sync.WaitGroup
	for who := range 10 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(who), 1))
			some := func(k Kind) uint64 {
				if r.IntN(16) == 0 {
					k = Kind(r.IntN(int(KindLock) + 1))
				}
				return shared[k][r.IntN(each)].Load()
			}
			keep := func(k Kind) func(uint64, error) {
				return func(h uint64, err error) {
					if err == nil {
						if old := shared[k][r.IntN(each)].Swap(h); old != 0 {
							_ = Close(old)
						}
					}
				}
			}
			look := func(m uint64) { _, _ = Get(m, "k"); _, _ = AboutOf(m); _ = Keep(m) }
			for time.Now().Before(until) {
				calls.Add(1)
				c := some(KindChannel)
				switch r.IntN(30) {
				case 0:
					if r.IntN(8) == 0 {
						h, err := NewChannel(cfg, 1+r.IntN(3))
						keep(KindChannel)(h, err)
						_ = Start(h)
					}
				case 1:
					_ = Start(c)
				case 2:
					if r.IntN(16) == 0 {
						_ = Stop(c)
					}
				case 3:
					_, _ = State(c)
					_, _ = ID(c)
					_, _ = Turn(c)
				case 4:
					_, _ = Stats(c)
				case 5:
					keep(KindPublisher)(NewPublisher(c, "a.b"))
				case 6, 7, 8:
					_ = Offer(some(KindPublisher), []byte("payload"))
				case 9:
					h, room, err := NewClaim(some(KindPublisher), 8)
					if err == nil {
						copy(room, "12345678")
						_ = Commit(h)
					}
				case 10:
					_, _ = Receivers(some(KindPublisher))
					_ = WaitReceivers(some(KindPublisher), 1, 1)
				case 11:
					_ = Broadcast(c, "a.b", some(KindMessage), 1)
				case 12:
					keep(KindSubscription)(Subscribe(c, "a.*", r.IntN(2) == 0, func(d *blaze.Delivery) {
						if heard.Add(1)%32 == 0 {
							if m, err := FromRaw(d.Payload); err == nil {
								look(m)
								_ = Close(m)
							}
						}
					}, func(*blaze.Loss) {}))
				case 13:
					keep(KindSubscription)(SubscribePoll(c, ">"))
				case 14:
					_, _ = Poll(some(KindSubscription), 8, 1, func(int, *Event) {})
					_ = SubscriptionError(some(KindSubscription))
				case 15:
					keep(KindListener)(OnStream(c, func(blaze.StreamEvent) {}))
					keep(KindListener)(OnView(c, func(blaze.View) {}))
				case 16:
					keep(KindMessage)(NewMessage())
				case 17:
					_ = Set(some(KindMessage), "k", &Value{Kind: uint32(r.IntN(13)), Integer: int64(r.IntN(300)), Map: some(KindMessage)}, []byte("text"))
				case 18:
					look(some(KindMessage))
					_ = Delete(some(KindMessage), "x")
				case 19:
					if p, _, err := Encode(some(KindMessage)); err == nil {
						_ = Release(p)
					}
				case 20:
					_ = Join(c, "g")
					_, _ = Members(c, nil)
					_, _ = Local(c)
					_ = Leave(c, "g")
				case 21:
					keep(KindListener)(OnMember(c, func(blaze.MemberEvent) {}))
				case 22:
					keep(KindSubscription)(HandleInbox(c, "", func(m uint64) { _ = Reply(c, m, m, 5) }))
				case 23:
					keep(KindSubscription)(Consume(c, "q", false, func(uint64) int { return 0 }))
				case 24:
					keep(KindSubscription)(HandleCalls(c, "calls", r.IntN(2) == 0, func(h uint64, b *blaze.Call) { _ = CallReply(h, b.Payload) }))
				case 25:
					id, _ := ID(c)
					_ = Send(c, id, "", some(KindMessage), 1)
					keep(KindMessage)(Request(c, id, some(KindMessage), 1))
					_ = Enqueue(c, "q", some(KindMessage), 1)
					var room [16]byte
					_, _ = RequestPayload(c, id, "calls", []byte("x"), room[:], 1)
				case 26:
					keep(KindMap)(NewMap(c, "m"))
				case 27:
					_, _ = Put(some(KindMap), "k", []byte("v"), r.IntN(2) == 0, 0, PutOptions{Holding: some(KindLock)}, 2)
					_, _ = Lookup(some(KindMap), "k")
					_, _ = AllEntries(some(KindMap))
				case 28:
					keep(KindListener)(Watch(some(KindMap), "", func(blaze.MapEvent) {}))
					keep(KindLock)(LockKey(some(KindMap), "k", r.IntN(2) == 0, 1000, false, 2))
					_ = Held(some(KindLock))
				case 29:
					if r.IntN(16) == 0 {
						_ = Close(some(Kind(r.IntN(int(KindLock)) + 1)))
					}
					_, _ = ClusterStatus(c)
				}
			}
		})
	}
	wait.Wait()
	for k := range shared {
		for i := range shared[k] {
			if h := shared[k][i].Load(); h != 0 {
				_ = Close(h)
			}
		}
	}
	none(t, Close(cfg))
	if heard.Load() == 0 {
		t.Error("no message was received")
	}
	t.Logf("%d rounds of calls, %d messages", calls.Load(), heard.Load())
}
