package workload

import (
	"context"
	"encoding/json"
	"errors"
)

// raw measures bare sockets.
func (r *run) raw(ctx context.Context) error { return errors.New("raw: not built yet") }

// serveRaw is the other end of raw.
func serveRaw(ctx context.Context, o *order, enc *json.Encoder) error {
	return errors.New("raw: not built yet")
}
