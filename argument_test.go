package blaze_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
)

// An argument that must be there and is nil is an error that says so, not a panic.
func TestNilArguments(t *testing.T) {
	c := started(t, testConfig(t))
	for what, err := range map[string]error{
		"Broadcast":        c.Broadcast(context.Background(), "a", nil),
		"Subscribe":        second(c.Subscribe("a", nil)),
		"SubscribePayload": second(c.SubscribePayload("a", nil)),
		"an option":        second(c.SubscribePayload("a", func(*blaze.Delivery) {}, nil)),
		"MarshalBinary":    second((*blaze.Message)(nil).MarshalBinary()),
		"AppendBinary":     second((*blaze.Message)(nil).AppendBinary(nil)),
	} {
		if !errors.Is(err, blaze.ErrArgument) || !strings.Contains(err.Error(), "nil") {
			t.Errorf("%s: %v, want ErrArgument that says what is nil", what, err)
		}
	}
	c.OnView(nil)() // no error to return: nothing is called
	if s, err := c.SubscribePayload("a", func(*blaze.Delivery) {}, blaze.OnLoss(nil)); err != nil || s.Close() != nil {
		t.Errorf("OnLoss(nil) is as good as none: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// A CPU that is not there is a wrong setting.
func TestEngineOnACPUThatIsNotThere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are pinned on Linux only")
	}
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.EngineCPUs = []int{999}
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	if err := c.Start(); !errors.Is(err, blaze.ErrConfig) || !strings.HasPrefix(err.Error(), "blaze: bad configuration: EngineCPUs[0] = 999: ") {
		t.Errorf("Start: %v", err)
	}
}

// A pattern in the way of MQTT or AMQP is warned of once.
func TestForeignPatternIsWarnedOf(t *testing.T) {
	var log strings.Builder
	cfg := testConfig(t)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"prices.*", "prices/#", "a/+/b", "prices/#"} {
		if _, err := c.SubscribePayload(pattern, func(*blaze.Delivery) {}); err != nil {
			t.Error(err)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "prices/#") || !strings.Contains(got, "'*'") || !strings.Contains(got, "'>'") || !strings.Contains(got, "'.'") {
		t.Errorf("the log: %s", got)
	}
}
