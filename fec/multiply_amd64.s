#include "textflag.h"

// A product by a constant is the sum of the products of the two halves of a byte, and those are
// looked up, 32 at a time, in tables of 16 (Plank and others, see doc.go). The halves of in are taken once for both outputs; that, and in being loaded once, is what
// makes this faster than two calls.
//
// func mulAdd2AVX2(a, b *products, in, out0, out1 *byte, chunks int)
TEXT ·mulAdd2AVX2(SB), NOSPLIT, $0-48
	MOVQ           a+0(FP), AX
	MOVQ           b+8(FP), BX
	MOVQ           in+16(FP), SI
	MOVQ           out0+24(FP), DI
	MOVQ           out1+32(FP), DX
	MOVQ           chunks+40(FP), CX
	VBROADCASTI128 (AX), Y8         // a times the low half
	VBROADCASTI128 16(AX), Y9       // a times the high half
	VBROADCASTI128 (BX), Y10        // b times the low half
	VBROADCASTI128 16(BX), Y11
	MOVQ           $15, AX
	MOVQ           AX, X12
	VPBROADCASTB   X12, Y12
	TESTQ          CX, CX
	JZ             done

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPSRLQ  $4, Y0, Y2
	VPSRLQ  $4, Y1, Y3
	VPAND   Y12, Y0, Y0
	VPAND   Y12, Y1, Y1
	VPAND   Y12, Y2, Y2
	VPAND   Y12, Y3, Y3
	VPSHUFB Y0, Y8, Y4
	VPSHUFB Y2, Y9, Y5
	VPSHUFB Y1, Y8, Y6
	VPSHUFB Y3, Y9, Y7
	VPXOR   Y4, Y5, Y4
	VPXOR   Y6, Y7, Y6
	VPXOR   (DI), Y4, Y4
	VPXOR   32(DI), Y6, Y6
	VMOVDQU Y4, (DI)
	VMOVDQU Y6, 32(DI)
	VPSHUFB Y0, Y10, Y4
	VPSHUFB Y2, Y11, Y5
	VPSHUFB Y1, Y10, Y6
	VPSHUFB Y3, Y11, Y7
	VPXOR   Y4, Y5, Y4
	VPXOR   Y6, Y7, Y6
	VPXOR   (DX), Y4, Y4
	VPXOR   32(DX), Y6, Y6
	VMOVDQU Y4, (DX)
	VMOVDQU Y6, 32(DX)
	ADDQ    $64, SI
	ADDQ    $64, DI
	ADDQ    $64, DX
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET
