package measure

import (
	"errors"
	"fmt"
	"io"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// MaxTime is the longest duration that has a place of its own; longer ones count as MaxTime.
const MaxTime = time.Minute

// digits is the precision: three significant decimal digits.
const digits = 3

// Histogram counts durations. It belongs to one goroutine at a time.
type Histogram struct{ h *hdr.Histogram }

// NewHistogram makes an empty histogram; it takes about 400 KiB.
func NewHistogram() *Histogram { return &Histogram{hdr.New(1, int64(MaxTime), digits)} }

// Record counts one duration of ns nanoseconds. What lies outside 1 ns..MaxTime is counted at the
// nearer end: a clock that stands still between two events makes zeros, and the tail is never
// dropped.
func (h *Histogram) Record(ns int64) {
	if ns < 1 {
		ns = 1
	} else if ns > int64(MaxTime) {
		ns = int64(MaxTime)
	}
	_ = h.h.RecordValue(ns) // cannot fail inside the range
}

// Count is the number of durations recorded.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Add counts everything that o has counted.
func (h *Histogram) Add(o *Histogram) { h.h.Merge(o.h) }

// Reset forgets everything.
func (h *Histogram) Reset() { h.h.Reset() }

// Percentiles are the points of a distribution that reports state, in nanoseconds.
type Percentiles struct {
	Min   int64 `json:"min"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
	P999  int64 `json:"p99.9"`
	P9999 int64 `json:"p99.99"`
	Max   int64 `json:"max"`

	// Histogram is all that was counted: an HdrHistogram in V2's compressed encoding, as base64, which HdrHistogram's
	// programs of all languages read.
	Histogram string `json:"hdr_v2,omitempty"`
}

// Percentiles are the distribution; nil when nothing was recorded.
func (h *Histogram) Percentiles() *Percentiles {
	if h == nil || h.Count() == 0 {
		return nil
	}
	q := h.h.ValueAtPercentile
	all, _ := h.h.Encode(hdr.V2CompressedEncodingCookieBase) // into memory: no error
	return &Percentiles{
		Histogram: string(all),
		Min:       h.h.Min(), P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), P9999: q(99.99), Max: h.h.Max(),
	}
}

// WriteHGRM writes the percentile distribution in the usual .hgrm text form, values in
// microseconds, as the HdrHistogram plotters read it.
func (h *Histogram) WriteHGRM(w io.Writer) error {
	// Five ticks for each halving of the distance to 100 %, and 1,000 ns to the µs: what other
	// programs write.
	_, err := h.h.PercentilesPrint(w, 5, 1000)
	return err
}

// MarshalBinary encodes the counts (HdrHistogram V2, compressed), so that a receiver process can
// hand its histogram to the process that started it.
func (h *Histogram) MarshalBinary() ([]byte, error) {
	return h.h.Encode(hdr.V2CompressedEncodingCookieBase)
}

// UnmarshalBinary replaces the counts by those that MarshalBinary encoded.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	o, err := hdr.Decode(b)
	if err != nil {
		return fmt.Errorf("hist: decode: %w", err)
	}
	if o.HighestTrackableValue() < int64(MaxTime) || o.SignificantFigures() != digits {
		return errors.New("hist: decode: a histogram of another range or precision")
	}
	// Into our own geometry: the decoder rounds the range up, and Add wants equal ones.
	n := NewHistogram()
	n.h.Merge(o)
	*h = *n
	return nil
}
