package blaze_test

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze"
)

// What follows is the contract with programs outside this repository, in a form that does not
// compile when it is broken: add to it, change nothing. Each function and method has the type
// that it is assigned to.

type (
	ctxt = context.Context
	id   = blaze.MemberID
	msg  = *blaze.Message
	val  = blaze.Value
	sub  = *blaze.Subscription
	mem  = blaze.Member
)

var _ = []any{
	func() (
		func(blaze.Config) (*blaze.Channel, error),
		func(string, blaze.Config) (*blaze.GroupChannel, error),
		func(string, blaze.Config) (*blaze.ClusterChannel, error),
	) {
		return blaze.NewChannel, blaze.NewGroupChannel, blaze.NewClusterChannel
	},
	// Superset by embedding.
	func(g *blaze.GroupChannel) *blaze.Channel { return g.Channel },
	func(c *blaze.ClusterChannel) *blaze.GroupChannel { return c.GroupChannel },
}

// Life cycle and topics.
type channel interface {
	Init() error
	Start() error
	Stop() error
	Shutdown() error
	State() blaze.State
	Config() blaze.Config
	SetConfig(blaze.Config) error
	ID() id
	Stats() blaze.Stats

	Broadcast(ctxt, string, msg) error
	Subscribe(string, func(msg), ...blaze.SubscribeOption) (sub, error)
	Publisher(string) (*blaze.Publisher, error)
	SubscribePayload(string, func(*blaze.Delivery), ...blaze.SubscribeOption) (sub, error)
	OnView(func(blaze.View)) (cancel func())
	Turn() (work int)
}

type groupChannel interface {
	channel
	Join(string) error
	Leave(string) error
	Local() mem
	Members() []mem
	MembersOf(string) []mem
	Member(id) (mem, bool)
	MemberNamed(string) (mem, bool)
	OnMember(func(blaze.MemberEvent)) (cancel func())
	WaitMembers(ctxt, int) error
	Send(ctxt, id, msg) error
	SendInbox(ctxt, id, string, msg) error
	HandleInbox(string, func(msg)) (sub, error)
	Enqueue(ctxt, string, msg) error
	Consume(string, func(msg) error, ...blaze.ConsumeOption) (sub, error)
	Request(ctxt, id, msg) (msg, error)
	RequestQueue(ctxt, string, msg) (msg, error)
	Reply(ctxt, msg, msg) error
}

type clusterChannel interface {
	groupChannel
	Map(string) *blaze.Map
	Master() (mem, bool)
	IsMaster() bool
	OnMaster(func(mem)) (cancel func())
	SetMasterWeight(ctxt, int) error
	WaitReady(ctxt) error
	Primary() bool
	Status() blaze.ClusterStatus
	Force(ctxt) error
}

var (
	_ channel        = (*blaze.Channel)(nil)
	_ groupChannel   = (*blaze.GroupChannel)(nil)
	_ clusterChannel = (*blaze.ClusterChannel)(nil)

	_ interface {
		Close() error
		Done() <-chan struct{}
		Err() error
	} = (*blaze.Subscription)(nil)

	_ interface {
		Offer([]byte) error
		Claim(int) (blaze.Claim, error)
		Receivers() int
		WaitReceivers(ctxt, int) error
		Close() error
	} = (*blaze.Publisher)(nil)

	_ interface {
		Bytes() []byte
		Commit() error
		Abort()
	} = (*blaze.Claim)(nil)

	_ func() blaze.SubscribeOption                 = blaze.Inline
	_ func(func(blaze.Loss)) blaze.SubscribeOption = blaze.OnLoss
	_ func() blaze.ConsumeOption                   = blaze.Exclusive
	_ func(time.Duration) blaze.PutOption          = blaze.TTL
	_ func() blaze.PutOption                       = blaze.RemoveOnExit
	_ func(*blaze.Lock) blaze.PutOption            = blaze.Holding
	_ func(time.Duration) blaze.LockOption         = blaze.Lease
	_ func() blaze.LockOption                      = blaze.KeepOnExit

	_ = blaze.Delivery{Payload: []byte(nil), Kind: blaze.Kind(0), Topic: "", From: id{}, Sequence: uint64(0), Received: int64(0)}
	_ = blaze.Loss{From: id{}, Stream: uint32(0), First: uint64(0), Last: uint64(0), Reason: blaze.LossReason(0)}
	_ = blaze.View{ID: blaze.ViewID{}, Kind: blaze.ViewKind(0), Members: []id(nil), Previous: blaze.ViewID{}, Together: []id(nil)}

	_ = []blaze.State{blaze.Constructed, blaze.Initialized, blaze.Started, blaze.Stopped}
	_ = []blaze.Kind{blaze.KindRaw, blaze.KindMessage}
	_ = []blaze.ViewKind{blaze.ViewTransitional, blaze.ViewRegular}
)

// Message and Value.
var (
	_ func() msg                           = blaze.NewMessage
	_ func(string) msg                     = blaze.NewTextMessage
	_ func([]byte) msg                     = blaze.NewBytesMessage
	_ func(proto.Message) (msg, error)     = blaze.NewObjectMessage
	_ func(any) (blaze.Value, error)       = blaze.ValueOf
	_ func(string) (blaze.MemberID, error) = blaze.ParseMemberID
	_ func(string) (blaze.URI, error)      = blaze.ParseURI

	_ interface {
		Text() (string, bool)
		SetText(string) msg
		Bytes() ([]byte, bool)
		SetBytes([]byte) msg
		Object() (proto.Message, error)
		SetObject(proto.Message) error
		Set(string, val) msg
		Get(string) (val, bool)
		Delete(string)
		Len() int
		All() iter.Seq2[string, val]
		Clone() msg
		Equal(msg) bool
		MarshalBinary() ([]byte, error)
		UnmarshalBinary([]byte) error
		Topic() string
		From() id
		Sequence() uint64
		Redelivered() bool
	} = (*blaze.Message)(nil)

	_ func(int8) val    = blaze.ByteValue
	_ func([]byte) val  = blaze.BytesValue
	_ func(rune) val    = blaze.CharValue
	_ func(bool) val    = blaze.BoolValue
	_ func(int16) val   = blaze.Int16Value
	_ func(int32) val   = blaze.Int32Value
	_ func(int64) val   = blaze.Int64Value
	_ func(float32) val = blaze.Float32Value
	_ func(float64) val = blaze.Float64Value
	_ func(string) val  = blaze.StringValue
	_ func(msg) val     = blaze.MapValue

	_ = []blaze.ValueKind{blaze.ByteKind, blaze.BytesKind, blaze.CharKind, blaze.BoolKind, blaze.Int16Kind, blaze.Int32Kind,
		blaze.Int64Kind, blaze.Float32Kind, blaze.Float64Kind, blaze.StringKind, blaze.MapKind}

	_ interface {
		Kind() blaze.ValueKind
		Any() any
		String() string
		Byte() (int8, error)
		Bytes() ([]byte, error)
		Char() (rune, error)
		Bool() (bool, error)
		Int16() (int16, error)
		Int32() (int32, error)
		Int64() (int64, error)
		Float32() (float32, error)
		Float64() (float64, error)
		Text() (string, error)
		Map() (msg, error)
	} = blaze.Value{}

	_ interface {
		fmt.Stringer
		IsZero() bool
		encoding.TextMarshaler
	} = blaze.MemberID([16]byte{})
)

// Groups and clusters.
var (
	_ = blaze.Member{ID: id{}, Incarnation: uint32(0), Name: "", Groups: []string(nil), Addr: netip.AddrPort{}, Started: time.Time{}}
	_ = blaze.MemberEvent{Kind: blaze.MemberEventKind(0), Member: mem{}, Group: ""}
	_ = []blaze.MemberEventKind{blaze.MemberStarted, blaze.MemberStopped, blaze.MemberFailed, blaze.MemberJoinedGroup, blaze.MemberLeftGroup}

	_ interface {
		Put(ctx ctxt, key string, value []byte, opts ...blaze.PutOption) (version uint64, err error)
		PutMessage(ctx ctxt, key string, v msg, opts ...blaze.PutOption) (uint64, error)
		CompareAndPut(ctx ctxt, key string, value []byte, version uint64, opts ...blaze.PutOption) (uint64, error)
		Delete(ctx ctxt, key string, opts ...blaze.PutOption) error
		Get(string) (blaze.Entry, bool)
		GetLinear(ctxt, string) (blaze.Entry, bool, error)
		Len() int
		All() iter.Seq2[string, blaze.Entry]
		Watch(string, func(blaze.MapEvent)) (cancel func())
		Lock(ctx ctxt, key string, opts ...blaze.LockOption) (*blaze.Lock, error)
		TryLock(ctx ctxt, key string, opts ...blaze.LockOption) (*blaze.Lock, error)
	} = (*blaze.Map)(nil)

	_ interface {
		Token() uint64
		Extend(ctxt, time.Duration) error
		Unlock(ctxt) error
		Lost() <-chan struct{}
		Held() bool
	} = (*blaze.Lock)(nil)

	_                                  = blaze.Entry{Key: "", Value: []byte(nil), Version: uint64(0), Owner: id{}, Expires: time.Time{}}
	_                                  = blaze.MapEvent{Kind: blaze.MapEventKind(0), Key: "", Old: blaze.Entry{}, New: blaze.Entry{}, By: id{}}
	_                                  = []blaze.MapEventKind{blaze.MapPresent, blaze.MapPut, blaze.MapDeleted, blaze.MapExpired, blaze.MapOwnerGone, blaze.MapReset}
	_ func(e blaze.Entry) (msg, error) = blaze.Entry.Message
)

// Config.
var (
	_ func(blaze.Config) error = blaze.Config.Validate
	_ func(blaze.Config) int64 = blaze.Config.MemoryBudget

	_ = blaze.Config{
		Name: "", Cluster: "", BroadcastURI: "", Protocol: blaze.NACK, Topics: []blaze.TopicConfig{{Pattern: "", Protocol: blaze.BestEffort, Safe: false}},
		Safe: false, FEC: blaze.FECConfig{SourceSymbols: 0, RepairSymbols: 0, MinRepair: -1, MaxRepair: 0, Interleave: 0, NoAdapt: false},
		Totem: blaze.TotemConfig{Profile: blaze.LAN, TokenLoss: time.Duration(0), Hold: time.Duration(0), Plain: false},
		Lanes: 0, Window: 0, MaxMessageSize: 0, SubscriptionQueue: 0, SlowConsumer: blaze.Pause, FlowControl: blaze.Slowest, SlowestFor: time.Duration(0), CongestionControl: blaze.CongestionAuto, RepairTimeout: time.Duration(0), MaxRate: int64(0),
		NoSelfDelivery: false, HeartbeatInterval: time.Duration(0), FailureTimeout: time.Duration(0), Linger: time.Duration(0),
		LockLease: time.Duration(0), ExpectedMembers: 0, MasterWeight: 0, DataDir: "", Sync: blaze.SyncQuorum, Idle: blaze.Backoff, Invoker: false,
		EngineCPUs: []int(nil), Logger: (*slog.Logger)(nil),
	}
	_ = []blaze.Protocol{blaze.BestEffort, blaze.NACK, blaze.FEC, blaze.Hybrid, blaze.Totem}
	_ = []blaze.SlowConsumer{blaze.Pause, blaze.Drop, blaze.Disconnect}
	_ = []blaze.CongestionControl{blaze.CongestionAuto, blaze.CongestionOff}
	_ = []blaze.FlowControl{blaze.Slowest, blaze.Fastest}
	_ = []blaze.Sync{blaze.SyncQuorum, blaze.SyncInterval}
	_ = []blaze.Idle{blaze.BusySpin, blaze.Backoff, blaze.Block}
)

func TestErrorsAreDistinct(t *testing.T) {
	all := []error{
		blaze.ErrState, blaze.ErrClosed, blaze.ErrBackPressure, blaze.ErrTooLarge, blaze.ErrNoSuchMember, blaze.ErrNoConsumer,
		blaze.ErrNoReply, blaze.ErrExists, blaze.ErrTopic, blaze.ErrKind, blaze.ErrNoQuorum, blaze.ErrUnknownOutcome, blaze.ErrLocked,
		blaze.ErrNotOwner, blaze.ErrVersion, blaze.ErrConfig, blaze.ErrUnsupported, blaze.ErrMalformed,
	}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) || (a.Error() == b.Error()) != (i == j) {
				t.Errorf("%v and %v are not told apart", a, b)
			}
		}
	}
}

func TestEntryMessage(t *testing.T) {
	m := blaze.NewTextMessage("kept")
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (blaze.Entry{Value: b}).Message(); err != nil || !got.Equal(m) {
		t.Errorf("Message = %v, %v", got, err)
	}
	if got, err := (blaze.Entry{Value: []byte{0xff}}).Message(); !errors.Is(err, blaze.ErrMalformed) || got != nil {
		t.Errorf("Message = %v, %v; want ErrMalformed", got, err)
	}
}
