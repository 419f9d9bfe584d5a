package blaze_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// Puts of 100 bytes by 64 writers at three members of one process, over loopback: in memory, with disks, and with disks
// that are synced each 100 ms. The disk's own time for an append of 4 KiB with its sync is printed with it.
func BenchmarkClusterPut(b *testing.B) {
	for _, mode := range []string{"memory", "quorum", "interval"} {
		b.Run(mode, func(b *testing.B) {
			cfg, dir := testConfig(b), b.TempDir()
			var all []*blaze.ClusterChannel
			for _, name := range []string{"a", "b", "c"} {
				of := durable(b, cfg, dir, name)
				switch mode {
				case "memory":
					of.DataDir = ""
				case "interval":
					of.Sync = blaze.SyncInterval
				}
				all = append(all, inCluster(b, "", of))
			}
			ready(b, all...)
			value := make([]byte, 100)
			const writers = 64
			b.ResetTimer()
			var done sync.WaitGroup
			for w := range writers {
				done.Add(1)
				go func() {
					defer done.Done()
					m := all[w%len(all)].Map("m")
					for i := w; i < b.N; i += writers {
						if _, err := m.Put(context.Background(), fmt.Sprintf("%016d", i%10_000), value); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			done.Wait()
			b.StopTimer()
			b.ReportMetric(float64(all[0].Stats().Cluster.Sync.Microseconds()), "µs/durable")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64(appendAndSync(b, dir).Microseconds()), "µs/append+fsync")
		})
	}
}

// appendAndSync is the median of what an append of 4 KiB with its sync takes.
func appendAndSync(b *testing.B, dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "append"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var took []time.Duration
	for range 101 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
