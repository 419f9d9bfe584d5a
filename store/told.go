package store

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The file told holds the number of the newest transaction of which this seat told anybody. bbolt keeps two meta pages in
// turns; where the newer one is damaged it goes back to the one before without a word, and a transaction of which others
// were told is gone. This file notices that. It is written after each transaction and not synced: what a crash loses of
// it only makes the number smaller. It has two slots in sectors of their own, of which the larger good number holds.
const (
	toldName  = "blaze.told"
	toldSlot  = 512
	toldBytes = 16
	toldMagic = 0x424c5a54
)

func toldRecord(txid uint64) []byte {
	b := make([]byte, toldBytes)
	binary.LittleEndian.PutUint32(b, toldMagic)
	binary.LittleEndian.PutUint64(b[4:], txid)
	binary.LittleEndian.PutUint32(b[12:], checksum([]byte("w"), nil, b[:12]))
	return b
}

// writeTold makes the file, with a number for transactions that have all been lost: for a new directory.
func writeTold(dir string, txid uint64) error {
	b := make([]byte, 2*toldSlot)
	copy(b, toldRecord(txid))
	copy(b[toldSlot:], toldRecord(txid))
	f, err := os.OpenFile(filepath.Join(dir, toldName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// readTold returns the largest good number.
func readTold(dir string) (uint64, error) {
	f, err := os.Open(filepath.Join(dir, toldName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, damaged("the file %s is not there", toldName)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, 2*toldSlot)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return 0, err
	}
	newest, good := uint64(0), false
	for _, slot := range [][]byte{b[:toldBytes], b[toldSlot : toldSlot+toldBytes]} {
		txid := binary.LittleEndian.Uint64(slot[4:])
		if string(slot) == string(toldRecord(txid)) {
			newest, good = max(newest, txid), true
		}
	}
	if !good {
		return 0, damaged("the file %s is damaged", toldName)
	}
	return newest, nil
}
