package measure

import (
	"encoding/json"
	"io"
)

// JMSResult is a Result of the jms workload. What a run does not measure is 0 or null. Sent, Delivered, Lost and Duplicates
// count the whole run; Delivered counts each message once for each consumer that is to have it.
type JMSResult struct {
	Result
	Holders    int  `json:"holders"`    // processes that hold the queue
	Producers  int  `json:"producers"`  // connections, each with one send under way
	Consumers  int  `json:"consumers"`  // connections, each with a listener
	Transacted int  `json:"transacted"` // messages of a transaction; 0: none
	Topic      bool `json:"topic"`      // a topic, without holders
	Direct     bool `json:"direct"`     // a direct queue, without holders

	DataDir  bool  `json:"data_dir"` // the holders have disks: what Send returned for is on those of a majority
	Filesync int64 `json:"sync_ns"`  // of the disk: appending 4 KiB and syncing them, median

	Send     *Percentiles `json:"send_ns"`       // of one Send
	Commit   *Percentiles `json:"commit_ns"`     // of a producer's Commit
	EndToEnd *Percentiles `json:"end_to_end_ns"` // from before the Send until the listener has the message

	RotationNS float64 `json:"token_rotation_ns"` // of the holders' ring, under load

	Redelivered uint64   `json:"redelivered"` // deliveries that were marked so
	Failover    *float64 `json:"failover_ms"` // the longest wait of a producer after a holder was ended by SIGKILL
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *JMSResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
