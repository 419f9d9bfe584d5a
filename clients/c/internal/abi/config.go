package abi

import (
	"bytes"
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

// settings are a Config while it is put together.
type settings struct {
	mu    sync.Mutex
	cfg   blaze.Config
	hooks hook.Options
}

func (s *settings) close() error { return nil }

// NewConfig makes settings, all at their defaults.
func NewConfig() (uint64, error) { return handles.add(KindConfig, new(settings)) }

// SetConfig sets one field of Config by its name, from a text. "test.loss" and "test.seed" are for tests.
func SetConfig(h uint64, name, value string) error {
	s, err := look[*settings](h, KindConfig)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch strings.ToLower(name) {
	case "test.loss":
		s.hooks.Drop, err = strconv.ParseFloat(value, 64)
		if err != nil || !(s.hooks.Drop >= 0 && s.hooks.Drop <= 1) {
			s.hooks.Drop = 0
			return bad(name, value, "must be 0 to 1")
		}
		return nil
	case "test.seed":
		if s.hooks.Seed, err = strconv.ParseUint(value, 0, 64); err != nil {
			return bad(name, value, "must be a whole number")
		}
		return nil
	}
	field, where, err := find(reflect.ValueOf(&s.cfg).Elem(), name)
	if err != nil {
		return err
	}
	return setField(field, where, value)
}

// bad is an error in the form of Config.Validate's.
func bad(name, value, want string) error {
	return fmt.Errorf("%w: %s = %s: %s", blaze.ErrConfig, name, value, want)
}

// find returns the field of a name such as "FEC.SourceSymbols", and the name as Config has it.
func find(in reflect.Value, name string) (field reflect.Value, where string, err error) {
	part, rest, nested := strings.Cut(name, ".")
	for i := range in.NumField() {
		f := in.Type().Field(i)
		if !f.IsExported() || !strings.EqualFold(f.Name, part) {
			continue
		}
		switch isStruct := f.Type.Kind() == reflect.Struct; {
		case nested && isStruct:
			field, where, err = find(in.Field(i), rest)
			return field, f.Name + "." + where, err
		case !nested && !isStruct && settable(f.Type):
			return in.Field(i), f.Name, nil
		}
	}
	return field, "", fmt.Errorf("%w: %s: there is no such setting; there are %s", blaze.ErrConfig, name, strings.Join(names(in.Type(), ""), ", "))
}

// names are the settings of a struct.
func names(t reflect.Type, before string) (all []string) {
	for f := range t.Fields() {
		switch {
		case !f.IsExported():
		case f.Type.Kind() == reflect.Struct:
			all = append(all, names(f.Type, before+f.Name+".")...)
		case settable(f.Type):
			all = append(all, before+f.Name)
		}
	}
	return all
}

var (
	textual  = reflect.TypeFor[encoding.TextUnmarshaler]()
	duration = reflect.TypeFor[time.Duration]()
	topics   = reflect.TypeFor[[]blaze.TopicConfig]()
	numbers  = reflect.TypeFor[[]int]()
)

// settable reports whether a field can be set from a text.
func settable(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textual) || t == topics || t == numbers {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	}
	return false
}

func setField(f reflect.Value, name, value string) error {
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(value))
	}
	switch f.Type() {
	case duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return bad(name, value, `must be a time with its unit, such as "20ms"`)
		}
		f.SetInt(int64(d))
		return nil
	case topics:
		t, err := topicOf(name, value)
		if err == nil {
			f.Set(reflect.Append(f, reflect.ValueOf(t)))
		}
		return err
	case numbers:
		var all []int
		for part := range strings.SplitSeq(value, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil {
				return bad(name, value, `must be numbers with commas between them, such as "2,3"`)
			}
			all = append(all, n)
		}
		f.Set(reflect.ValueOf(all))
		return nil
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(value)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return bad(name, value, "must be true or false")
		}
		f.SetBool(b)
	default:
		n, err := strconv.ParseInt(value, 0, f.Type().Bits())
		if err != nil {
			return bad(name, value, "must be a whole number")
		}
		f.SetInt(n)
	}
	return nil
}

// topicOf reads "orders.>=totem,safe".
func topicOf(name, value string) (t blaze.TopicConfig, err error) {
	pattern, rest, found := strings.Cut(value, "=")
	if !found {
		return t, bad(name, value, `must be a pattern and its protocol, such as "orders.>=totem,safe"`)
	}
	protocol, option, hasOption := strings.Cut(rest, ",")
	t.Pattern = pattern
	if t.Protocol, err = blaze.ParseProtocol(protocol); err != nil {
		return t, err
	}
	if hasOption && option != "safe" {
		return t, bad(name, value, `behind the protocol only ",safe" may stand`)
	}
	t.Safe = hasOption
	return t, nil
}

// LogTo gives the lines of level and above to f, without time and level.
func LogTo(h uint64, level int, f func(level int, line string)) error {
	s, err := look[*settings](h, KindConfig)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Logger = slog.New(&logHandler{least: slog.Level(level), f: f})
	return nil
}

// logHandler formats a line and hands it on.
type logHandler struct {
	least slog.Level
	f     func(int, string)
	with  []func(slog.Handler) slog.Handler
}

func (l *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= l.least }

func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var line bytes.Buffer
	var h slog.Handler = slog.NewTextHandler(&line, &slog.HandlerOptions{Level: l.least, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	for _, with := range l.with {
		h = with(h)
	}
	err := h.Handle(ctx, r)
	l.f(int(r.Level), strings.TrimSuffix(line.String(), "\n"))
	return err
}

func (l *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return l.and(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (l *logHandler) WithGroup(name string) slog.Handler {
	return l.and(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (l *logHandler) and(with func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{l.least, l.f, append(slices.Clone(l.with), with)}
}

// config returns the Config of the settings; those of handle 0 are the defaults.
func config(h uint64) (blaze.Config, error) {
	if h == 0 {
		return blaze.Config{}, nil
	}
	s, err := look[*settings](h, KindConfig)
	if err != nil {
		return blaze.Config{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.cfg
	cfg.Topics, cfg.EngineCPUs = slices.Clone(cfg.Topics), slices.Clone(cfg.EngineCPUs)
	if s.hooks.Drop > 0 {
		hook.Set(&cfg, s.hooks)
	}
	return cfg, nil
}
