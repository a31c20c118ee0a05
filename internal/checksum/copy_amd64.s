#include "textflag.h"

// Y4 and Y5 sum the lower and the upper 32 bits of the words in 64 bits each, which
// 2^32 words cannot exceed. Y7 has the lower halves' bits.

#define BEGIN \
	MOVQ     dst+0(FP), DI; \
	MOVQ     src+8(FP), SI; \
	MOVQ     n+16(FP), CX;  \
	VPXOR    Y4, Y4, Y4;    \
	VPXOR    Y5, Y5, Y5;    \
	VPCMPEQD Y7, Y7, Y7;    \
	VPSRLQ   $32, Y7, Y7

#define SUM \
	VPAND  Y7, Y0, Y2;  \
	VPSRLQ $32, Y0, Y0; \
	VPADDQ Y2, Y4, Y4;  \
	VPADDQ Y0, Y5, Y5;  \
	VPAND  Y7, Y1, Y3;  \
	VPSRLQ $32, Y1, Y1; \
	VPADDQ Y3, Y4, Y4;  \
	VPADDQ Y1, Y5, Y5

#define END \
	VPADDQ       Y5, Y4, Y4;    \
	VEXTRACTI128 $1, Y4, X5;    \
	VPADDQ       X5, X4, X4;    \
	VPSRLDQ      $8, X4, X5;    \
	VPADDQ       X5, X4, X4;    \
	VMOVQ        X4, AX;        \
	VZEROUPPER

// func copySumNear(dst, src *byte, n int) uint64
TEXT ·copySumNear(SB), NOSPLIT, $0-32
	BEGIN

near:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	SUM
	ADDQ    $64, SI
	ADDQ    $64, DI
	SUBQ    $64, CX
	JNZ     near
	END
	MOVQ    AX, ret+24(FP)
	RET

// func copySumFar(dst, src *byte, n int) uint64
TEXT ·copySumFar(SB), NOSPLIT, $0-32
	BEGIN

far:
	VMOVDQU  (SI), Y0
	VMOVDQU  32(SI), Y1
	VMOVNTDQ Y0, (DI)
	VMOVNTDQ Y1, 32(DI)
	SUM
	ADDQ     $64, SI
	ADDQ     $64, DI
	SUBQ     $64, CX
	JNZ      far

	// What is stored past the caches is not ordered with other stores by itself.
	SFENCE
	END
	MOVQ    AX, ret+24(FP)
	RET
