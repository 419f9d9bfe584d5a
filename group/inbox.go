package group

import (
	"errors"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Verdict is what a handler does with an item.
type Verdict uint8

// The verdicts.
const (
	Take   Verdict = iota // it has the item
	Wait                  // it has no room: the item is offered again
	Refuse                // it does not take it, with a reason
)

// Item is one message as it is handed on. Everything in it is lent until Take returns.
type Item struct {
	From     wire.MemberID
	Inbox    []byte
	Call     uint64 // of the caller; Reply is given it
	Sequence uint64 // of the item in the sender's channel; 0: of the member itself
	Kind     wire.Kind
	Wanted   bool // a reply
	Payload  []byte
}

// InboxHandler takes the messages of one in-box. It may call Reply, and nothing else of the Protocol.
type InboxHandler interface {
	Take(now clock.Time, i *Item) (Verdict, wire.RefusalReason)
}

// ErrExists means that an in-box has a handler.
var ErrExists = errors.New("group: the in-box has a handler")

// HandleInbox has h take what is sent to an in-box.
func (p *Protocol) HandleInbox(name string, h InboxHandler) error {
	if p.pairs.inboxes[name] != nil {
		return ErrExists
	}
	p.pairs.inboxes[name] = h
	return nil
}

// CloseInbox ends what HandleInbox began: items are refused from now on.
func (p *Protocol) CloseInbox(name string) { delete(p.pairs.inboxes, name) }

// hand hands on one item, once all of it is here.
func (in *receiving) hand(now clock.Time, i *wire.Item, number uint64) (Verdict, wire.RefusalReason) {
	switch i.Kind {
	case wire.ItemSend, wire.ItemRequest:
		if in.channel != wire.ChannelInboxes {
			return Refuse, wire.RefusedKind
		}
	case wire.ItemQueue, wire.ItemQueueRequest, wire.ItemCancel:
		if in.channel != wire.ChannelQueues {
			return Refuse, wire.RefusedKind
		}
	case wire.ItemReply, wire.ItemRecord, wire.ItemResult:
		if in.channel != wire.ChannelAnswers {
			return Refuse, wire.RefusedKind
		}
	case wire.ItemTransfer:
		if in.channel != wire.ChannelAnswers || in.pair.x.p.cfg.Transfer == nil {
			return Refuse, wire.RefusedKind
		}
	case wire.ItemNothing:
		return Take, 0
	default:
		return Refuse, wire.RefusedKind
	}
	if i.Fragment {
		return in.handPart(now, i, number)
	}
	in.dropParts() // what was begun before is not continued
	return in.handWhole(now, i, i.Payload, number)
}

// handWhole hands on one item with its whole payload.
func (in *receiving) handWhole(now clock.Time, i *wire.Item, payload []byte, number uint64) (Verdict, wire.RefusalReason) {
	x := in.pair.x
	switch i.Kind {
	case wire.ItemReply:
		x.answered(now, in.pair, i.Call, i.PayloadKind, payload)
		return Take, 0
	case wire.ItemRecord:
		x.p.takeRecord(now, in.pair.e, payload)
		return Take, 0
	case wire.ItemTransfer:
		if !x.p.cfg.Transfer(now, in.pair.e.id, payload) {
			return Refuse, wire.RefusedNoRoom
		}
		return Take, 0
	case wire.ItemResult:
		x.result(now, in.pair.e.id, i)
		return Take, 0
	case wire.ItemCancel:
		x.cancelWork(in.pair.e.id, i.Call)
		return Take, 0
	case wire.ItemQueue, wire.ItemQueueRequest:
		return x.accept(now, in.pair.e.id, in, i, payload, number)
	}
	if len(payload) > x.p.cfg.MaxMessageSize {
		return Refuse, wire.RefusedNoRoom
	}
	h := x.inboxes[string(i.Name)]
	if h == nil {
		return Refuse, wire.RefusedNoHandler
	}
	x.item = Item{From: in.pair.e.id, Inbox: i.Name, Call: i.Call, Sequence: number, Kind: i.PayloadKind,
		Wanted: i.Kind == wire.ItemRequest, Payload: payload}
	return h.Take(now, &x.item)
}
