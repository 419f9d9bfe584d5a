package blaze

import (
	"context"

	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/reach"
)

func init() {
	reach.Blaze = reach.Functions{
		Header:    func(m any) []byte { return m.(*Message).header },
		SetHeader: func(m any, b []byte) { m.(*Message).header = b },
		HasObject: func(m any) bool { return m.(*Message).body.kind == objectKind },
		HandleInbox: func(g any, inbox string, h any) (any, error) {
			return g.(*GroupChannel).handleInbox(inbox, h.(func(*Message)))
		},
		Join:  func(g any, group string) error { return g.(*GroupChannel).join(group) },
		Leave: func(g any, group string) error { return g.(*GroupChannel).leave(group) },
		Enqueue: func(ctx context.Context, g any, queue string, m any) (func(context.Context) error, error) {
			return g.(*GroupChannel).enqueue(ctx, queue, m.(*Message))
		},
		Propose: func(ctx context.Context, c any, service string, op []byte) (func(context.Context) ([]byte, error), error) {
			return c.(*ClusterChannel).propose(ctx, service, op)
		},
		Request: func(ctx context.Context, g any, to [16]byte, inbox string, payload []byte) (func(context.Context) ([]byte, error), error) {
			return g.(*GroupChannel).requestPayload(ctx, MemberID(to), inbox, payload)
		},
		Serve: func(g any, inbox string, h func(*reach.Item)) (any, error) { return g.(*GroupChannel).serve(inbox, h) },
		ProposeThen: func(c any, here bool, service string, op []byte, then func([]byte, error)) error {
			return c.(*ClusterChannel).proposeThen(here, service, op, then)
		},
		RequestThen: func(g any, to [16]byte, inbox string, payload []byte, then func([]byte, error)) error {
			return g.(*GroupChannel).callThen(what{kind: member.CallRequest, to: MemberID(to), name: inbox}, payload, then)
		},
		SendThen: func(g any, to [16]byte, inbox string, payload []byte, then func(error)) error {
			return g.(*GroupChannel).callThen(what{kind: member.CallSend, to: MemberID(to), name: inbox}, payload, func(_ []byte, err error) { then(err) })
		},
	}
}
