package measure

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// near reports whether got is want within the histogram's precision.
func near(got, want int64) bool {
	d := got - want
	return max(d, -d) <= want/1000+1
}

func TestPercentilesMatchSortedValues(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	h := NewHistogram()
	vals := make([]int64, 200_000)
	for i := range vals {
		vals[i] = int64(1000 + rnd.ExpFloat64()*50_000)
		h.Record(vals[i])
	}
	slices.Sort(vals)
	at := func(q float64) int64 { return vals[int(q*float64(len(vals)))-1] }
	p := h.Percentiles()
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"min", p.Min, vals[0]}, {"p50", p.P50, at(0.5)}, {"p90", p.P90, at(0.9)}, {"p99", p.P99, at(0.99)},
		{"p99.9", p.P999, at(0.999)}, {"p99.99", p.P9999, at(0.9999)}, {"max", p.Max, vals[len(vals)-1]},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s = %d, sorted values say %d", c.name, c.got, c.want)
		}
	}
}

func TestEnds(t *testing.T) {
	h := NewHistogram()
	if p := h.Percentiles(); p != nil {
		t.Errorf("empty histogram has percentiles %+v", p)
	}
	h.Record(-5)
	h.Record(int64(2 * time.Minute))
	if p := h.Percentiles(); p.Min != 1 || !near(p.Max, int64(MaxTime)) {
		t.Errorf("values outside the range: %+v, want 1 and a minute", p)
	}
}

func TestJSONKeys(t *testing.T) {
	b, err := json.Marshal(Percentiles{1, 2, 3, 4, 5, 6, 7, ""})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"min":1,"p50":2,"p90":3,"p99":4,"p99.9":5,"p99.99":6,"max":7}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestBinaryRoundTripAndAdd(t *testing.T) {
	a, b := NewHistogram(), NewHistogram()
	for i := range int64(1000) {
		a.Record(i * 1000)
		b.Record(i * 7000)
	}
	enc, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var c Histogram
	if err := c.UnmarshalBinary(enc); err != nil {
		t.Fatal(err)
	}
	if *c.Percentiles() != *b.Percentiles() {
		t.Errorf("after a round trip: %+v, want %+v", c.Percentiles(), b.Percentiles())
	}
	a.Add(&c)
	if a.Count() != 2000 || !near(a.Percentiles().Max, 999*7000) {
		t.Errorf("after Add: %d values, max %d", a.Count(), a.Percentiles().Max)
	}
	if err := c.UnmarshalBinary(enc[:len(enc)/2]); err == nil {
		t.Error("half a histogram was accepted")
	}
}

func TestHGRM(t *testing.T) {
	h := NewHistogram()
	for i := range int64(10_000) {
		h.Record((i + 1) * 1000)
	}
	var sb strings.Builder
	if err := h.WriteHGRM(&sb); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)", "#[Mean", "#[Max", "0.500000"} {
		if !strings.Contains(sb.String(), want) {
			t.Errorf(".hgrm lacks %q:\n%s", want, sb.String())
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	h := NewHistogram()
	v := int64(1)
	if n := testing.AllocsPerRun(1000, func() { h.Record(v); v = v*3 + 1 }); n != 0 {
		t.Errorf("Record allocates %v times", n)
	}
}

// The JSON of a distribution has all of it, in the encoding that other programs read.
func TestPercentilesHaveTheHistogram(t *testing.T) {
	h := NewHistogram()
	for ns := range int64(10_000) {
		h.Record(1000 + ns*ns)
	}
	text := h.Percentiles().Histogram
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 8 || binary.BigEndian.Uint32(b)&^0xf0 != 0x1c849304&^0xf0 {
		t.Fatalf("%.20q is no compressed V2: %x, %v", text, b[:min(len(b), 8)], err)
	}
	o := NewHistogram()
	if err := o.UnmarshalBinary([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if *o.Percentiles() != *h.Percentiles() || o.Count() != 10_000 {
		t.Errorf("%+v, %+v", o.Percentiles(), h.Percentiles())
	}
}
