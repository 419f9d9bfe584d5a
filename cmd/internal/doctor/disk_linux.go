package doctor

import (
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"
)

// fastCommits names the ext4 mounts that commit fast: bbolt, which keeps a cluster's Config.DataDir, has lost pages there
// after power failures (https://github.com/etcd-io/bbolt/issues/562).
func (h *host) fastCommits() Finding {
	var found []string
	seen := false
	for line := range strings.Lines(h.read("/proc/self/mountinfo")) {
		// 36 35 98:0 /root /mount/point options … - type source options
		head, tail, _ := strings.Cut(line, " - ")
		mount, of := strings.Fields(head), strings.Fields(tail)
		if len(mount) < 5 || len(of) == 0 || of[0] != "ext4" {
			continue
		}
		seen = true
		device := h.deviceName(mount[2])
		if place := mount[4] + " (" + device + ")"; h.commitsFast(device) && !slices.Contains(found, place) {
			found = append(found, place)
		}
	}
	switch {
	case len(found) > 0:
		return Finding{Note, "fast commits", "ext4 commits fast on " + strings.Join(found, ", "),
			"a Config.DataDir there may lose pages in a power failure: put it on another file system, or switch it off, unmounted: tune2fs -O ^fast_commit DEVICE"}
	case seen:
		return Finding{Good, "fast commits", "none on ext4", ""}
	}
	return Finding{Good, "fast commits", "no ext4 here", ""}
}

// deviceName is the name of a block device by its numbers, such as 254:0.
func (h *host) deviceName(numbers string) string {
	for line := range strings.Lines(h.read("/sys/dev/block/" + numbers + "/uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return name
		}
	}
	return numbers
}

// The ext4 superblock: where it is, its magic, and the feature.
const (
	superblock, superblockBytes = 1024, 0x60
	ext4MagicAt, ext4Magic      = 0x38, 0xef53
	compatAt, fastCommit        = 0x5c, 0x400
)

// commitsFast reports whether the ext4 on a device has fast commits: by its superblock, which takes privileges to read,
// or by what it has counted since it was mounted.
func (h *host) commitsFast(device string) bool {
	if f, err := h.files.Open("dev/" + device); err == nil {
		defer f.Close()
		b := make([]byte, superblock+superblockBytes)
		if _, err := io.ReadFull(f, b); err == nil {
			s := b[superblock:]
			if binary.LittleEndian.Uint16(s[ext4MagicAt:]) == ext4Magic {
				return binary.LittleEndian.Uint32(s[compatAt:])&fastCommit != 0
			}
		}
	}
	for line := range strings.Lines(h.read("/proc/fs/ext4/" + device + "/fc_info")) {
		if n, ok := strings.CutSuffix(strings.TrimSpace(line), " commits"); ok {
			commits, err := strconv.ParseUint(n, 10, 64)
			return err == nil && commits > 0
		}
	}
	return false
}
