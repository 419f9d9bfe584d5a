package blaze

import (
	"fmt"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/store"
	"github.com/activeblaze/blaze/wire"
)

// syncInterval is how long SyncInterval lets writes wait for the disk.
const syncInterval = 100 * time.Millisecond

// openDisk opens Config.DataDir where a ClusterChannel has one and it is not open.
func (c *Channel) openDisk() error {
	conf := c.cfg.Load()
	if c.cluster == nil || conf.DataDir == "" || c.cluster.disk != nil {
		return nil
	}
	interval := time.Duration(0)
	if conf.Sync == SyncInterval {
		interval = syncInterval
	}
	disk, err := store.Open(store.Options{Dir: conf.DataDir, Cluster: uint64(wire.ClusterHash(conf.Cluster)), Interval: interval})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c.cluster.disk = disk
	return nil
}

// loadDisk returns what the disk holds, for the core; nil where there is none. A Start after a Stop opens it again.
func (c *Channel) loadDisk() (*cluster.Recovered, error) {
	if err := c.openDisk(); err != nil || c.cluster.disk == nil {
		return nil, err
	}
	held, err := c.cluster.disk.Load()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return held, nil
}

// recovered fails where the core could not begin with what the disk held: then st has ended.
func (c *Channel) recovered(st *start) error {
	if c.cluster == nil || c.cluster.disk == nil {
		return nil
	}
	s := st.Status()
	if s == nil || s.DiskError == "" {
		return nil
	}
	st.Refuse()
	st.Settle(0)
	st.Cluster().End()
	st.End(func(uint64) {})
	c.closeDisk()
	return fmt.Errorf("%w: Config.DataDir %s: %s", ErrConfig, c.cfg.Load().DataDir, s.DiskError)
}

// closeDisk closes the disk where it is open, and describes what Stop should name. No engine runs any more.
func (c *Channel) closeDisk() (left []string) {
	if c.cluster == nil || c.cluster.disk == nil {
		return nil
	}
	if err := c.cluster.disk.Close(); err != nil {
		left = append(left, err.Error())
	}
	c.cluster.disk = nil
	return left
}
