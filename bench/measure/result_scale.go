package measure

import (
	"encoding/json"
	"io"
)

// ScaleResult is what a message costs against what there is of everything else: whole members over a wire in memory.
type ScaleResult struct {
	Result
	Points []ScalePoint `json:"points"`
}

// ScalePoint is one case of one dimension. Costs are medians of slices, ratios medians of those within a round.
type ScalePoint struct {
	Of       string  `json:"of"`          // what there are N of
	N        int     `json:"n"`           //
	Base     int     `json:"base"`        // the N that ratios are to
	Sender   float64 `json:"sender_ns"`   // for a datagram of 19 messages of 64 bytes, or for an idle turn; of all senders
	Receiver float64 `json:"receiver_ns"` // the same at each receiver

	SenderRatio   float64 `json:"sender_ratio"`
	ReceiverRatio float64 `json:"receiver_ratio"`
}

// Point finds a case; nil: it was not measured.
func (r *ScaleResult) Point(of string, n int) *ScalePoint {
	for i := range r.Points {
		if p := &r.Points[i]; p.Of == of && p.N == n {
			return p
		}
	}
	return nil
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *ScaleResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
