#include "textflag.h"

// Which buckets allow the 32 bytes from (SI)(CX*1)+at on as byte number at of a window is
// added to acc. lo and hi are the tables of that byte, Y15 has 0x0f in each byte.
#define ALLOWED(at, lo, hi, acc, t0, t1) \
	VMOVDQU at(SI)(CX*1), t0;  \
	VPSRLW  $4, t0, t1;        \
	VPAND   Y15, t0, t0;       \
	VPAND   Y15, t1, t1;       \
	VPSHUFB t0, lo, t0;        \
	VPSHUFB t1, hi, t1;        \
	VPAND   t0, acc, acc;      \
	VPAND   t1, acc, acc

#define FIRST(at, lo, hi, acc, t0, t1) \
	VMOVDQU at(SI)(CX*1), t0;  \
	VPSRLW  $4, t0, t1;        \
	VPAND   Y15, t0, t0;       \
	VPAND   Y15, t1, t1;       \
	VPSHUFB t0, lo, t0;        \
	VPSHUFB t1, hi, t1;        \
	VPAND   t0, t1, acc

// func findWindows(t *tables, p *byte, n int) (at int, set uint32)
TEXT ·findWindows(SB), NOSPLIT, $0-36
	MOVQ t+0(FP), AX
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), DX
	VMOVDQU 0(AX), Y9
	VMOVDQU 32(AX), Y10
	VMOVDQU 64(AX), Y11
	VMOVDQU 96(AX), Y12
	VMOVDQU 128(AX), Y13
	VMOVDQU 160(AX), Y14
	MOVQ $0x0f0f0f0f0f0f0f0f, BX
	VMOVQ BX, X15
	VPBROADCASTQ X15, Y15
	VPXOR Y8, Y8, Y8
	XORQ CX, CX
	MOVQ DX, R8
	SUBQ $64, R8 // the last place where two blocks begin

two:
	CMPQ CX, R8
	JGT  one
	FIRST(0, Y9, Y10, Y0, Y1, Y2)
	FIRST(32, Y9, Y10, Y3, Y4, Y5)
	ALLOWED(1, Y11, Y12, Y0, Y1, Y2)
	ALLOWED(33, Y11, Y12, Y3, Y4, Y5)
	ALLOWED(2, Y13, Y14, Y0, Y1, Y2)
	ALLOWED(34, Y13, Y14, Y3, Y4, Y5)
	VPOR  Y0, Y3, Y6
	VPTEST Y6, Y6
	JNZ   which
	ADDQ $64, CX
	JMP  two

which:
	VPTEST Y0, Y0
	JNZ found
	ADDQ $32, CX
	VMOVDQA Y3, Y0
	JMP found

one:
	CMPQ CX, DX
	JGE  none
	FIRST(0, Y9, Y10, Y0, Y1, Y2)
	ALLOWED(1, Y11, Y12, Y0, Y1, Y2)
	ALLOWED(2, Y13, Y14, Y0, Y1, Y2)
	VPTEST Y0, Y0
	JNZ  found
	ADDQ $32, CX
	JMP  one

found:
	VPCMPEQB Y8, Y0, Y0 // the places where there is none
	VPMOVMSKB Y0, BX
	NOTL BX
	VZEROUPPER
	MOVQ CX, at+24(FP)
	MOVL BX, set+32(FP)
	RET

none:
	VZEROUPPER
	MOVQ CX, at+24(FP)
	MOVL $0, set+32(FP)
	RET
