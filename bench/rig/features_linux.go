package rig

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Constants of linux/ethtool.h that x/sys does not have.
const (
	ethtoolGStrings  = 0x1b
	ethtoolGSSetInfo = 0x37
	ethtoolGFeatures = 0x3a
	ethtoolSFeatures = 0x3b
	setFeatures      = 4 // ETH_SS_FEATURES
	stringLen        = 32
	maxFeatures      = 256
)

// segmentsOff makes the interface carry packets as a wire would: nothing that is longer than
// its MTU, neither out nor in. What a kernel cannot do is off.
func segmentsOff(name string) error {
	for _, f := range [...]string{
		"tx-udp-segmentation", "tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation",
		"tx-tcp-mangleid-segmentation", "rx-gro", "rx-udp-gro-forwarding", "rx-gro-list",
	} {
		if err := setFeature(name, f, false); err != nil && !errors.Is(err, errUnknown) {
			return err
		}
	}
	return nil
}

// Features are the offloads of an interface by their names, as ethtool -k has them (SIOCETHTOOL,
// ETHTOOL_GFEATURES). It changes nothing. The interface is looked up in the namespace of the
// calling thread.
func Features(name string) (map[string]bool, error) {
	names, err := featureNames(name)
	if err != nil {
		return nil, err
	}
	words := (len(names) + 31) / 32
	// struct ethtool_gfeatures, and for each word: available, requested, active, never_changed.
	b := make([]byte, 8+16*words)
	binary.NativeEndian.PutUint32(b, ethtoolGFeatures)
	binary.NativeEndian.PutUint32(b[4:], uint32(words))
	if err := ethtool(name, b); err != nil {
		return nil, err
	}
	on := make(map[string]bool, len(names))
	for i, n := range names {
		if n != "" {
			on[n] = binary.NativeEndian.Uint32(b[8+16*(i/32)+8:])>>(i%32)&1 != 0
		}
	}
	return on, nil
}

// setFeature turns an offload on or off (ETHTOOL_SFEATURES).
func setFeature(name, feature string, on bool) error {
	names, err := featureNames(name)
	if err != nil {
		return err
	}
	for i, n := range names {
		if n != feature {
			continue
		}
		words := (len(names) + 31) / 32
		// struct ethtool_sfeatures, and for each word: valid, requested.
		b := make([]byte, 8+8*words)
		binary.NativeEndian.PutUint32(b, ethtoolSFeatures)
		binary.NativeEndian.PutUint32(b[4:], uint32(words))
		binary.NativeEndian.PutUint32(b[8+8*(i/32):], 1<<(i%32))
		if on {
			binary.NativeEndian.PutUint32(b[8+8*(i/32)+4:], 1<<(i%32))
		}
		return ethtool(name, b)
	}
	return fmt.Errorf("rig: %s of %s: %w", feature, name, errUnknown)
}

// featureNames are the names in the order of their bits.
func featureNames(name string) ([]string, error) {
	// struct ethtool_sset_info, with room for one length.
	b := make([]byte, 20)
	binary.NativeEndian.PutUint32(b, ethtoolGSSetInfo)
	binary.NativeEndian.PutUint64(b[8:], 1<<setFeatures)
	if err := ethtool(name, b); err != nil {
		return nil, err
	}
	n := min(int(binary.NativeEndian.Uint32(b[16:])), maxFeatures)
	// struct ethtool_gstrings.
	b = make([]byte, 12+n*stringLen)
	binary.NativeEndian.PutUint32(b, ethtoolGStrings)
	binary.NativeEndian.PutUint32(b[4:], setFeatures)
	binary.NativeEndian.PutUint32(b[8:], uint32(n))
	if err := ethtool(name, b); err != nil {
		return nil, err
	}
	names := make([]string, n)
	for i := range names {
		s, _, _ := bytes.Cut(b[12+i*stringLen:12+(i+1)*stringLen], []byte{0})
		names[i] = string(s)
	}
	return names, nil
}

// ethtool passes a structure to the kernel, which answers in place.
func ethtool(name string, b []byte) error {
	if len(name) >= unix.IFNAMSIZ {
		return fmt.Errorf("rig: interface %s: %w", name, unix.ENODEV)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("rig: socket: %w", err)
	}
	defer unix.Close(fd)
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // struct ifreq is longer
	}
	copy(request.name[:], name)
	request.data = unsafe.Pointer(&b[0])
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); e != 0 {
		return fmt.Errorf("rig: offloads of interface %s: %w", name, e)
	}
	return nil
}

// Driver is the name of the interface's driver (ETHTOOL_GDRVINFO); empty where it has none.
func Driver(name string) string {
	const getDriver, size, at = 3, 196, 4 // struct ethtool_drvinfo
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, getDriver)
	if ethtool(name, b) != nil {
		return ""
	}
	s, _, _ := bytes.Cut(b[at:at+32], []byte{0})
	return string(s)
}
