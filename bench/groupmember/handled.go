package groupmember

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/activeblaze/blaze/engine"
)

// A Handling is one call of a consumer's handler.
type Handling struct {
	Number     uint64 // of the message
	Marked     bool   // Redelivered
	Begin, End int64  // ns; End 0: the consumer was gone before its handler returned
}

// handlings is the file in which a consumer keeps what it handles: each write is one record, so what was
// written is there when the process is killed. It is for any number of goroutines.
type handlings struct {
	mu sync.Mutex
	f  *os.File
}

// A record is three words: the number, flags, the time.
const recordSize = 24

const (
	flagMarked = 1 << iota
	flagEnd
)

func (h *handlings) write(number, flags uint64) error {
	var b [recordSize]byte
	binary.LittleEndian.PutUint64(b[0:], number)
	binary.LittleEndian.PutUint64(b[8:], flags)
	binary.LittleEndian.PutUint64(b[16:], uint64(engine.Now()))
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.f.Write(b[:])
	return err
}

// ReadHandlings reads what a consumer wrote, in the order in which its handlers began.
func ReadHandlings(file string) ([]Handling, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []Handling
	open := map[uint64]int{} // number to index, of those that have not ended
	for ; len(b) >= recordSize; b = b[recordSize:] {
		number, flags := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:])
		at := int64(binary.LittleEndian.Uint64(b[16:]))
		if flags&flagEnd == 0 {
			open[number] = len(all)
			all = append(all, Handling{Number: number, Marked: flags&flagMarked != 0, Begin: at})
			continue
		}
		i, ok := open[number]
		if !ok {
			return nil, fmt.Errorf("%s: message %d ends and has not begun", file, number)
		}
		all[i].End = at
		delete(open, number)
	}
	return all, nil
}
