package bpf

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Filter is the loaded program with its maps. Its methods may be called from any goroutine.
// None of them is on the path of a packet.
type Filter struct {
	mu       sync.Mutex
	objects  filterObjects
	keys     *filterKeys   // shared with the program; single words are stored atomically
	counters []cpuCounters // shared with the program, one for each possible CPU
	keysMem  []byte
	countMem []byte
	queues   int
	link     link.Link // nil: not attached
	closed   bool

	// reading keeps Close from ending the mapping under a reader of counters, who must not
	// wait for mu: the kernel takes milliseconds to attach.
	reading sync.RWMutex
	last    Counters // after Close, when counters is nil
}

// cpuCounters are what one CPU has counted, by the program's enum reason (REASON_SLOTS).
type cpuCounters [32]uint64

// Load puts the program and its maps into the kernel. Nothing sees packets before Attach. The
// error is an ErrConfig, a *PrivilegeError, a *FeatureError or another one of the kernel's.
func Load(cfg Config) (*Filter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := reserve(loadDescriptors); err != nil {
		return nil, err
	}
	return loadAs(cfg, !capable(unix.CAP_PERFMON))
}

// loadAs loads the program, as it has to be without CAP_PERFMON or not.
func loadAs(cfg Config, askLength bool) (*Filter, error) {
	spec, err := loadFilter()
	if err != nil {
		return nil, fmt.Errorf("bpf: read the object: %w", err)
	}
	if err := specialise(spec, cfg, askLength); err != nil {
		return nil, err
	}
	f := &Filter{queues: cfg.Queues}
	err = spec.LoadAndAssign(&f.objects, nil)
	if errors.Is(err, unix.EPERM) && raiseMemlock() {
		err = spec.LoadAndAssign(&f.objects, nil)
	}
	if err != nil {
		return nil, loadError(err, askLength)
	}
	if err := f.mapMemory(); err != nil {
		f.Close()
		return nil, err
	}
	f.storeLanes(cfg.Lanes)
	atomic.StoreUint64(&f.keys.Vlan, network(cfg.VLAN))
	atomic.StoreUint64(&f.keys.Cluster, cfg.Cluster)
	atomic.StoreUint64(&f.keys.Unicast, address(cfg.Unicast))
	atomic.StoreUint64(&f.keys.Group, address(cfg.Group))
	return f, nil
}

// specialise sets what is constant in the loaded program.
func specialise(spec *ebpf.CollectionSpec, cfg Config, askLength bool) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("bpf: count the processors: %w", err)
	}
	spec.Maps[filterMapBlazeCounters].MaxEntries = uint32(cpus * len(cpuCounters{}))
	spec.Maps[filterMapBlazeSockets].MaxEntries = uint32(cfg.Queues)
	flag := func(b bool) (v uint8) {
		if b {
			v = 1
		}
		return v
	}
	return errors.Join(
		spec.Variables[filterVarFrameMax].Set(uint32(cfg.FrameBytes)),
		spec.Variables[filterVarBreakdown].Set(flag(cfg.Breakdown)),
		spec.Variables[filterVarAskLength].Set(flag(askLength)),
		spec.Variables[filterVarLoss].Set(uint64(math.Round(cfg.Loss*(1<<32)))),
		spec.Variables[filterVarLossSeed].Set(cfg.Seed),
	)
}

// mapMemory maps the keys and the counters into this process. We do it ourselves, rather than
// by Map.Memory, because Close has to end the mapping at a known time.
func (f *Filter) mapMemory() (err error) {
	var key filterKeys
	if f.keysMem, err = mmap(f.objects.BlazeKeys, int(unsafe.Sizeof(key))); err != nil {
		return err
	}
	f.keys = (*filterKeys)(unsafe.Pointer(&f.keysMem[0]))

	words := int(f.objects.BlazeCounters.MaxEntries())
	if f.countMem, err = mmap(f.objects.BlazeCounters, 8*words); err != nil {
		return err
	}
	f.counters = unsafe.Slice((*cpuCounters)(unsafe.Pointer(&f.countMem[0])), words/len(cpuCounters{}))
	return nil
}

func mmap(m *ebpf.Map, size int) ([]byte, error) {
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("bpf: map %v into memory: %w", m, err)
	}
	return mem, nil
}

// Register makes the AF_XDP socket fd the one that gets the datagrams of queue. The kernel
// drops them when the socket is bound to another queue or interface. A socket that is closed
// leaves by itself.
func (f *Filter) Register(queue, fd int) error {
	return f.socket("register", queue, func() error {
		return f.objects.BlazeSockets.Update(uint32(queue), uint32(fd), ebpf.UpdateAny)
	})
}

func (f *Filter) socket(verb string, queue int, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	if queue < 0 || queue >= f.queues {
		return fmt.Errorf("%w: queue %d of %d", ErrConfig, queue, f.queues)
	}
	if err := do(); err != nil {
		return fmt.Errorf("bpf: %s the socket of queue %d: %w", verb, queue, err)
	}
	return nil
}

// Counters adds up what the CPUs have counted. It makes no system call. The counters are read
// one after the other while packets come, so sums of them may be off by those. After Close it
// returns the last ones. It waits for nothing but Close.
func (f *Filter) Counters() Counters {
	f.reading.RLock()
	defer f.reading.RUnlock()
	if f.counters == nil {
		return f.last
	}
	return f.sum()
}

func (f *Filter) sum() (c Counters) {
	for i, field := range c.fields() {
		for cpu := range f.counters {
			*field += atomic.LoadUint64(&f.counters[cpu][i])
		}
	}
	return c
}

// Close detaches the program and takes it out of the kernel. Sockets are not closed. Closing
// again does nothing.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	err := errors.Join(f.detach(), f.objects.Close())
	f.reading.Lock()
	defer f.reading.Unlock()
	f.last = f.sum()
	for _, mem := range [][]byte{f.keysMem, f.countMem} {
		if mem != nil {
			err = errors.Join(err, unix.Munmap(mem))
		}
	}
	f.keys, f.counters, f.keysMem, f.countMem = nil, nil, nil, nil
	return err
}
