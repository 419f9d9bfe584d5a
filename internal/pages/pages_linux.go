package pages

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reserved maps size bytes, rounded up, of the huge pages that an administrator has set aside (vm.nr_hugepages). It
// fails where none are left.
func Reserved(size int) ([]byte, error) {
	return anonymous((size+Huge-1)/Huge*Huge, unix.MAP_POPULATE|unix.MAP_HUGETLB)
}

// Map maps size bytes: in huge pages where the kernel may use them by itself, else in small ones.
func Map(size int) ([]byte, error) {
	if size >= Huge {
		if mem, err := transparent(size); err == nil {
			return mem, nil
		}
	}
	return anonymous(size, unix.MAP_POPULATE)
}

// Unmap gives back what Map or Reserved returned, whole. Nobody may touch it afterwards.
func Unmap(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	mapped.Add(-whole(len(mem)))
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// whole is size in whole pages: the kernel maps and unmaps no less.
func whole(size int) int64 {
	page := unix.Getpagesize()
	return int64((size + page - 1) / page * page)
}

func anonymous(size, flags int) ([]byte, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|flags)
	if err != nil {
		return nil, err
	}
	mapped.Add(whole(size))
	return unsafe.Slice((*byte)(p), size), nil
}

// transparent maps memory that the kernel may put into huge pages, as it does for a process that asks, unless an
// administrator has switched that off.
func transparent(size int) ([]byte, error) {
	// A huge page lies at a multiple of its size: more is mapped, and the ends are given back.
	all, err := anonymous(size+Huge, 0)
	if err != nil {
		return nil, err
	}
	begin := int(-uintptr(unsafe.Pointer(&all[0])) % Huge)
	end := begin + int(whole(size))
	mem := all[begin:end]
	err = errors.Join(Unmap(all[:begin]), Unmap(all[end:]))
	if err == nil {
		err = unix.Madvise(mem[:size&^(Huge-1)], unix.MADV_HUGEPAGE)
	}
	if err == nil {
		err = unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	}
	if err != nil { // a kernel before 5.14, or one without huge pages
		return nil, errors.Join(err, Unmap(mem))
	}
	return mem[:size], nil
}
