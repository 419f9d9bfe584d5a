package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/activeblaze/blaze"
)

// chatRoom is the group, the topic and the in-box of all who chat.
const chatRoom = "chat"

// said is the object that chat prints with --json.
type said struct {
	Event string `json:"event"` // "said" to all, "told" to this member alone, "here", "joined", "left", "failed"
	Time  string `json:"time"`
	From  string `json:"from"` // MemberID
	Name  string `json:"name"`
	Text  string `json:"text,omitempty"`
}

func (a *app) chat() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Talk to all who chat in the cluster",
		Long: `Says each line that you type, or that standard input has, to all who chat in the
cluster, and prints what they say. It ends with standard input.

  /who              who is here
  /msg NAME TEXT    to one of them alone
  /quit             ends; so do Ctrl-D and Ctrl-C`,
		Example: "  echo hello | blaze chat --name ann",
		Args:    needArgs(0, false),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.talk(cmd) },
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

// chatter is one who chats.
type chatter struct {
	a     *app
	g     *blaze.GroupChannel
	names *directory
	print func(line string) // prints one line

	greeted atomic.Bool // who was there is known: from now on changes are news
}

func (a *app) talk(cmd *cobra.Command) error {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return err
	}
	cfg.NoSelfDelivery = true
	g, err := blaze.NewGroupChannel("", cfg)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	t := &chatter{a: a, g: g, names: directoryOf(g), print: a.out.line}
	read, restore, err := t.terminal()
	if err != nil {
		return err
	}
	defer restore()
	if err := t.join(); err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := settle(ctx, g); err != nil {
		return err
	}
	if !a.common.quiet && !a.common.json {
		t.print(fmt.Sprintf("* you are %s; %s; /who, /msg NAME TEXT, /quit", g.Config().Name, who(others(g, chatRoom))))
	}
	t.greeted.Store(true)
	if err := t.heard(ctx); err != nil {
		return err
	}
	within, cancel := a.within(ctx, cmd, 0)
	defer cancel()
	err = t.say(within, read)
	if within.Err() != nil && ctx.Err() == nil {
		err = failf(statusTime, "time is up")
	}
	if stopped := g.Stop(); err == nil && stopped != nil {
		return failf(statusUnknown, "%w", stopped)
	}
	return err
}

// join makes this member one of those that chat, and prints what comes.
func (t *chatter) join() error {
	if err := t.g.Join(chatRoom); err != nil {
		return err
	}
	if _, err := t.g.Subscribe(chatRoom, func(m *blaze.Message) { t.tell("said", m.From(), m) }); err != nil {
		return err
	}
	if _, err := t.g.HandleInbox(chatRoom, func(m *blaze.Message) { t.tell("told", m.From(), m) }); err != nil {
		return err
	}
	in := map[blaze.MemberID]bool{}
	t.g.OnMember(func(e blaze.MemberEvent) {
		id := e.Member.ID
		switch {
		case id == t.g.ID():
		case e.Kind == blaze.MemberJoinedGroup && e.Group == chatRoom:
			in[id] = true
			t.news("joined", e.Member, "is here")
		case !in[id]:
		case e.Kind == blaze.MemberLeftGroup && e.Group == chatRoom, e.Kind == blaze.MemberStopped:
			delete(in, id)
			t.news("left", e.Member, "has left")
		case e.Kind == blaze.MemberFailed:
			delete(in, id)
			t.news("failed", e.Member, "is lost")
		}
	})
	return t.g.Start()
}

// heard waits until those who are there receive what this member says.
func (t *chatter) heard(ctx context.Context) error {
	p, err := t.g.Publisher(chatRoom)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = p.WaitReceivers(within, len(others(t.g, chatRoom))) // some of them may be leaving
	return ctx.Err()
}

// say says lines until there are no more.
func (t *chatter) say(ctx context.Context, read func(context.Context, func(string) error) error) error {
	err := read(ctx, func(line string) error {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "/quit":
			return errEnough
		case words[0] == "/who":
			t.who()
		case words[0] == "/msg":
			t.whisper(ctx, line)
		case strings.HasPrefix(words[0], "/"):
			t.remark("%q is no command: /who, /msg NAME TEXT or /quit%s", words[0], guess(words[0], []string{"/who", "/msg", "/quit"}, "what begins with / is one"))
		default:
			m, err := textMessage(line)
			if err == nil {
				err = t.g.Broadcast(ctx, chatRoom, m)
			}
			return err
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// whisper sends the text of a line "/msg NAME TEXT" to one member.
func (t *chatter) whisper(ctx context.Context, line string) {
	_, line, _ = strings.Cut(strings.TrimSpace(line), "/msg")
	name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if text = strings.TrimSpace(text); text == "" {
		t.remark("/msg NAME TEXT: who, and what?")
		return
	}
	to, found, err := find(others(t.g, chatRoom), name)
	for i := 0; i < 100 && err == nil && !found; i++ { // it may have come just now
		if err = sleep(ctx, 10*time.Millisecond); err == nil {
			to, found, err = find(others(t.g, chatRoom), name)
		}
	}
	if err == nil && !found {
		err = fmt.Errorf("nobody is called %q; %s", name, who(others(t.g, chatRoom)))
	}
	var m *blaze.Message
	if err == nil {
		m, err = textMessage(text)
	}
	if err == nil {
		within, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = t.g.SendInbox(within, to.ID, chatRoom, m)
	}
	if err != nil {
		t.remark("%s", strings.TrimPrefix(err.Error(), "blaze: "))
	}
}

func (t *chatter) who() {
	all := others(t.g, chatRoom)
	if t.a.common.json {
		for _, m := range all {
			t.news("here", m, "")
		}
		return
	}
	t.print("* " + oneLine(who(all)))
}

// remark prints what is for this member's user alone.
func (t *chatter) remark(format string, args ...any) {
	if t.a.common.json {
		fmt.Fprintln(t.a.stderr, "blaze: "+oneLine(fmt.Sprintf(format, args...)))
		return
	}
	t.print("* " + oneLine(fmt.Sprintf(format, args...)))
}

// news prints that a member came or went.
func (t *chatter) news(event string, m blaze.Member, text string) {
	switch {
	case t.a.common.json:
		t.a.out.object(said{event, stamp(time.Now()), m.ID.String(), m.Name, ""})
	case t.greeted.Load():
		t.print("* " + oneLine(m.Name) + " " + text)
	}
}

// tell prints what a member said.
func (t *chatter) tell(event string, from blaze.MemberID, m *blaze.Message) {
	name, text := t.names.name(from), plain(m)
	if t.a.common.json {
		t.a.out.object(said{event, stamp(time.Now()), from.String(), name, text})
		return
	}
	alone := ""
	if event == "told" {
		alone = " (to you)"
	}
	t.print(oneLine(sender(name, from)) + alone + ": " + oneLine(text))
}

// terminal returns what reads lines: a prompt that stays below what is printed where both ends are a terminal, and
// else standard input.
func (t *chatter) terminal() (read func(context.Context, func(string) error) error, restore func(), err error) {
	in, isFile := t.a.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) || t.a.out.width() == 0 || t.a.common.json {
		return func(ctx context.Context, f func(string) error) error {
			return t.a.texts(ctx, nil, false, t.g.Config().MaxMessageSize, f)
		}, func() {}, nil
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("standard input: %w", err)
	}
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, t.a.out}, "> ")
	fit := func() {
		if w, h, err := term.GetSize(int(in.Fd())); err == nil && w > 0 {
			_ = screen.SetSize(w, h)
		}
	}
	fit()
	t.print = func(line string) {
		fit()
		_, _ = screen.Write([]byte(line + "\n"))
	}
	read = func(ctx context.Context, f func(string) error) error {
		return t.a.each(ctx, func() (string, error) {
			line, err := screen.ReadLine()
			if errors.Is(err, term.ErrPasteIndicator) {
				err = nil
			}
			return line, err
		}, f)
	}
	return read, func() {
		_, _ = io.WriteString(t.a.out, "\r\x1b[K")
		t.a.out.flush()
		_ = term.Restore(int(in.Fd()), before)
	}, nil
}
