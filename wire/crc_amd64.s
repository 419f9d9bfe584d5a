#include "textflag.h"

// func crc32c(crc uint32, p unsafe.Pointer, n int, shifts *[maxStride + 1]shift) uint32
//
// The CRC of n bytes, not inverted. The instruction takes 8 bytes and 3 cycles, and one can begin in
// each cycle, so three streams run side by side: A, B and C of s words each, and one word behind them.
// What A and B gave is multiplied to where the streams end and added to that last word.
TEXT ·crc32c(SB), NOSPLIT, $0-36
	MOVL crc+0(FP), AX
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ shifts+24(FP), DI

block:
	MOVQ  CX, R8
	SHRQ  $3, R8 // words that are left
	CMPQ  R8, $4
	JB    words
	DECQ  R8
	IMUL3Q $0xAAAB, R8, R8
	SHRQ  $17, R8 // s = (words - 1) / 3; exact below 2^16 words
	CMPQ  R8, $64 // maxStride
	JBE   streams
	MOVQ  $64, R8

streams:
	LEAQ (SI)(R8*8), R9  // B
	LEAQ (R9)(R8*8), R10 // C
	LEAQ (R10)(R8*8), R11 // the word behind
	XORL BX, BX
	XORL DX, DX
	MOVQ R8, R12
	NEGQ R12

three:
	CRC32Q (R9)(R12*8), AX // A, from its end
	CRC32Q (R10)(R12*8), BX
	CRC32Q (R11)(R12*8), DX
	INCQ   R12
	JNE    three

	MOVQ      AX, X0
	MOVQ      BX, X1
	MOVL      0(DI)(R8*8), R13
	MOVQ      R13, X2
	MOVL      4(DI)(R8*8), R13
	MOVQ      R13, X3
	PCLMULQDQ $0, X2, X0
	PCLMULQDQ $0, X3, X1
	PXOR      X1, X0
	MOVQ      X0, R13
	XORQ      (R11), R13
	MOVL      DX, AX
	CRC32Q    R13, AX
	LEAQ      8(R11), SI
	LEAQ      (R8)(R8*2), R8
	LEAQ      8(R8*8), R8
	SUBQ      R8, CX
	JMP       block

words:
	TESTQ R8, R8
	JEQ   bytes

word:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	DECQ   R8
	JNE    word

bytes:
	ANDQ $7, CX
	JEQ  done

byte:
	CRC32B (SI), AX
	INCQ   SI
	DECQ   CX
	JNE    byte

done:
	MOVL AX, ret+32(FP)
	RET
