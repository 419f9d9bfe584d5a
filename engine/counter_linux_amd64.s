#include "textflag.h"

// func readCounter() uint64
// LFENCE waits for the loads before it, so a reading is not older than what the thread has seen of other threads. The
// kernel's own reading is the same (arch/x86/include/asm/msr.h, rdtsc_ordered).
TEXT ·readCounter(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// func cpuid(leaf uint32) (eax, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-16
	MOVL	leaf+0(FP), AX
	XORL	CX, CX
	CPUID
	MOVL	AX, eax+8(FP)
	MOVL	DX, edx+12(FP)
	RET
