package ring

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestBytesCloseEndsClaims(t *testing.T) {
	b := NewBytes(256)
	send(b, 1, 8)
	r, _ := b.Claim(8)
	b.Close()
	b.Close()
	if _, ok := b.Claim(0); ok {
		t.Error("Claim after Close")
	}
	if got := b.Used(); got != 48 {
		t.Errorf("used %d after Close, want 48", got)
	}
	r.SetWord(2)
	fill(r.Bytes(), 2)
	r.Commit() // it was claimed before
	expect(t, b, 1, 8)
	expect(t, b, 2, 8)
	expectClean(t, b)
}

func TestBytesRefuse(t *testing.T) {
	b := NewBytes(256)
	open, _ := b.Claim(8)
	open.Hold()
	if !b.Empty() {
		t.Error("not empty, with the oldest record held")
	}
	expectNone(t, b)
	send(b, 2, 8) // accepted, behind the claim
	aborted, _ := b.Claim(8)
	aborted.Hold()
	aborted.AbortHeld()
	done, _ := b.Claim(8)
	done.Hold()
	done.SetWord(3)
	fill(done.Bytes(), 3)
	if !done.CommitHeld() {
		t.Error("CommitHeld of an open queue")
	}
	last, _ := b.Claim(0)
	last.Hold()

	b.Close()
	if n := b.Refuse(); n != 2 {
		t.Errorf("%d records refused, want 2", n)
	}
	fill(open.Bytes(), 0xff) // its owner does not know yet
	expect(t, b, 2, 8)
	expect(t, b, 3, 8)
	expectNone(t, b)
	if b.Used() != 0 {
		t.Errorf("%d bytes in use", b.Used())
	}
	if open.CommitHeld() || last.CommitHeld() {
		t.Error("CommitHeld after Refuse")
	}
	last.AbortHeld()
	expectNone(t, b)
}

// Room that aborted records give back counts as returned, though no record came out.
func TestBytesReturned(t *testing.T) {
	b := NewBytes(256)
	r, _ := b.Claim(8)
	before := b.Returned()
	r.Abort()
	expectNone(t, b)
	if b.Returned() == before {
		t.Error("the room of an aborted record has not come back")
	}
}

// However Close and Refuse meet producers, a record that its producer takes for committed comes out,
// and no other does.
func TestBytesCloseBesideProducers(t *testing.T) {
	rounds := 2000
	if testing.Short() || raceEnabled {
		rounds = 200
	}
	for range rounds {
		b := NewBytes(1 << 12)
		var committed atomic.Int64
		var all sync.WaitGroup
		for p := range 3 {
			all.Go(func() {
				for n := 0; ; n++ {
					r, ok := b.Claim(n % 50)
					switch {
					case !ok && b.tail.Load()&closed != 0:
						return
					case !ok:
						runtime.Gosched()
					case p == 0:
						r.Commit()
						committed.Add(1)
					default:
						r.Hold()
						fill(r.Bytes(), 1)
						if r.CommitHeld() {
							committed.Add(1)
						}
					}
				}
			})
		}
		taken := int64(0)
		take := func() {
			for {
				if _, _, ok := b.Peek(); !ok {
					return
				}
				b.Advance()
				taken++
			}
		}
		for taken < 20 {
			take()
			runtime.Gosched()
		}
		b.Close()
		b.Refuse()
		take()
		all.Wait()
		if taken != committed.Load() {
			t.Fatalf("%d records were committed, %d came out", committed.Load(), taken)
		}
	}
}
