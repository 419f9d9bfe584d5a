package blazeprom

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/activeblaze/blaze"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func config(t *testing.T, name string) blaze.Config {
	return blaze.Config{
		BroadcastURI: fmt.Sprintf("udp://239.255.67.%d:%d?interface=lo", len(t.Name()), 20000+os.Getpid()%20000), Cluster: t.Name(), Name: name,
	}
}

// pair are two members of a cluster, between which something of each kind has happened.
func pair(t *testing.T) (a, b *blaze.ClusterChannel) {
	t.Helper()
	start := func(name string) *blaze.ClusterChannel {
		c, err := blaze.NewClusterChannel("", config(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Shutdown() })
		return c
	}
	a, b = start("a"), start("b")
	for _, c := range []*blaze.ClusterChannel{a, b} {
		if err := c.WaitReady(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	came := make(chan struct{}, 100)
	if _, err := b.Subscribe("prices.>", func(*blaze.Message) { came <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	p, err := a.Publisher("prices.gold")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReceivers(within(t), 1); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := a.Broadcast(within(t), "prices.gold", blaze.NewTextMessage("1900")); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		<-came
	}
	if _, err := a.Map("book").Put(within(t), "gold", []byte("1900")); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// gather is what a registry with the collectors has, by name.
func gather(t *testing.T, all ...prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, c := range all {
		if err := r.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*dto.MetricFamily{}
	for _, f := range list {
		found[f.GetName()] = f
	}
	return found
}

// series counts as a server does: each bucket, the sum and the count of a histogram.
func series(families map[string]*dto.MetricFamily) (n int) {
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				n += len(h.GetBucket()) + 3
				continue
			}
			n++
		}
	}
	return n
}

// value is the one series of a family that has these label values; −1: there is none.
func value(f *dto.MetricFamily, labels ...string) float64 {
	for _, m := range f.GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetValue()] = true
		}
		all := true
		for _, l := range labels {
			all = all && has[l]
		}
		if all {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return -1
}

// Nothing that promlint would say; values are those of Stats; two channels of a process go together.
func TestCollector(t *testing.T) {
	a, b := pair(t)
	ca, cb := NewCollector(a.Channel, WithPeers(3)), NewCollector(b.Channel)
	problems, err := testutil.CollectAndLint(ca)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	found, s := gather(t, ca, cb), a.Stats()
	for _, row := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"blaze_up", []string{"a"}, 1},
		{"blaze_messages_sent_total", []string{"a", "nack"}, float64(s.Nack.Messages)},
		{"blaze_message_sent_bytes_total", []string{"a", "nack"}, float64(s.Nack.MessageBytes)},
		{"blaze_messages_delivered_total", []string{"b", "nack"}, float64(b.Stats().Nack.Delivered)},
		{"blaze_messages_lost_total", []string{"b", "not_repaired"}, 0},
		{"blaze_members", []string{"b"}, 2},
		{"blaze_primary", []string{"a"}, 1},
		{"blaze_cluster_entries", []string{"b"}, 1},
		{"blaze_map_entries", []string{"a", "book"}, 1},
		{"blaze_subscription_dropped_total", []string{"b", "prices.>"}, 0},
		{"blaze_series_left_out", []string{"a"}, 0},
	} {
		if got := value(found[row.name], row.labels...); got != row.want {
			t.Errorf("%s%v is %v, want %v", row.name, row.labels, got, row.want)
		}
	}
	if n := value(found["blaze_master"], "a") + value(found["blaze_master"], "b"); n != 1 {
		t.Errorf("%v masters", n)
	}
	if n := value(found["blaze_receiver_behind_datagrams"], "a", b.ID().String()); n < 0 {
		t.Error("no series for the receiver")
	}
	handled := 0.0
	for _, m := range found["blaze_handler_seconds"].GetMetric() {
		handled += float64(m.GetHistogram().GetSampleCount())
	}
	if handled < 1 {
		t.Error("no handler was timed")
	}
	if n := series(gather(t, NewCollector(b.Channel))); n > MaxSeries {
		t.Errorf("%d series", n)
	}
}

// Both formats of the exposition have the same families, each named as it asks for.
func TestFormats(t *testing.T) {
	a, _ := pair(t)
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(a.Channel))
	server := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	defer server.Close()
	get := func(accept string) string {
		q, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		q.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := get("text/plain;version=0.0.4")
	open := get("application/openmetrics-text;version=1.0.0")
	for _, want := range []string{"# TYPE blaze_up gauge", "# HELP blaze_up "} {
		if !strings.Contains(text, want) || !strings.Contains(open, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if !strings.Contains(text, "# TYPE blaze_messages_sent_total counter") || !strings.Contains(open, "# TYPE blaze_messages_sent counter") {
		t.Error("counters are named otherwise than each format asks for")
	}
	if !strings.HasSuffix(open, "# EOF\n") {
		t.Error("OpenMetrics without its end")
	}
}

// A channel with 256 streams, hundreds of subscriptions and maps has no more series than one may have.
func TestSeries(t *testing.T) {
	cfg := config(t, "many")
	lanes := 64
	if testing.Short() {
		lanes = 16
	}
	cfg.Lanes = lanes
	protocols := []blaze.Protocol{blaze.BestEffort, blaze.NACK, blaze.FEC, blaze.Hybrid}
	for _, p := range protocols {
		cfg.Topics = append(cfg.Topics, blaze.TopicConfig{Pattern: p.String() + ".>", Protocol: p})
	}
	ch, err := blaze.NewGroupChannel("", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Start(); err != nil {
		t.Fatal(err)
	}
	defer ch.Shutdown()
	for i := range 300 {
		if _, err := ch.Subscribe(fmt.Sprint("to.", i), func(*blaze.Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range protocols {
		for i := range 6 * lanes {
			if _, err := ch.Publisher(fmt.Sprint(p, ".", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	found, err := ch.Inspect(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Sending) < 4*lanes-8 {
		t.Fatalf("only %d streams", len(found.Sending))
	}
	families := gather(t, NewCollector(ch.Channel))
	if n := series(families); n > MaxSeries {
		t.Errorf("%d series, want at most %d", n, MaxSeries)
	}
	if n := value(families["blaze_series_left_out"], "many"); n < 300 {
		t.Errorf("%v streams and subscriptions were left out", n)
	}
}

// A channel that is not started, or has stopped, is down, and a scrape of it works.
func TestDown(t *testing.T) {
	ch, err := blaze.NewChannel(config(t, "down"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewCollector(ch)
	look := func(want float64) {
		t.Helper()
		if got := value(gather(t, c)["blaze_up"], "down"); got != want {
			t.Errorf("up is %v, want %v", got, want)
		}
	}
	look(0)
	if err := ch.Start(); err != nil {
		t.Fatal(err)
	}
	look(1)
	if err := ch.Shutdown(); err != nil {
		t.Fatal(err)
	}
	look(0)
}
