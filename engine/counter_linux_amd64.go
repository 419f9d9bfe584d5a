package engine

import (
	"bytes"
	"os"
)

func readCounter() uint64

func cpuid(leaf uint32) (eax, edx uint32)

// hasCounter reports whether the processor's counter runs at one rate in all of its states (AMD64 Architecture Programmer's
// Manual 3, CPUID function 8000_0007).
func hasCounter() bool {
	if most, _ := cpuid(0x8000_0000); most < 0x8000_0007 {
		return false
	}
	_, power := cpuid(0x8000_0007)
	return power&(1<<8) != 0
}

// processCounter is the counter as the clock of the process: nil where the kernel does not read it for CLOCK_MONOTONIC. A
// kernel that has found it to differ between processors does not. One on kvm-clock corrects it for each of them.
func processCounter() *counterClock {
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil || string(bytes.TrimSpace(source)) != "tsc" || !hasCounter() {
		return nil
	}
	return newCounterClock(readCounter, monotonic, reportClock)
}
