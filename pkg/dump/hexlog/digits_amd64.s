#include "textflag.h"

// The digit of each half of a byte.
DATA digits<>+0(SB)/8, $0x3736353433323130
DATA digits<>+8(SB)/8, $0x6665646362613938
GLOBL digits<>(SB), RODATA|NOPTR, $16

// The lower half of each byte.
DATA lower<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA lower<>+8(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL lower<>(SB), RODATA|NOPTR, $16

// Which upper digit stands where in the first 16 bytes of text; 0x80 is none.
DATA firstHigh<>+0(SB)/8, $0x8002808001808000
DATA firstHigh<>+8(SB)/8, $0x0580800480800380
GLOBL firstHigh<>(SB), RODATA|NOPTR, $16

// The same for the lower digits.
DATA firstLow<>+0(SB)/8, $0x0280800180800080
DATA firstLow<>+8(SB)/8, $0x8080048080038080
GLOBL firstLow<>(SB), RODATA|NOPTR, $16

// The spaces between.
DATA firstSpace<>+0(SB)/8, $0x0000200000200000
DATA firstSpace<>+8(SB)/8, $0x0020000020000020
GLOBL firstSpace<>(SB), RODATA|NOPTR, $16

// Which upper digit stands where in the second 16 bytes of text; 0x80 is none.
DATA secondHigh<>+0(SB)/8, $0x8080078080068080
DATA secondHigh<>+8(SB)/8, $0x800a808009808008
GLOBL secondHigh<>(SB), RODATA|NOPTR, $16

// The same for the lower digits.
DATA secondLow<>+0(SB)/8, $0x8007808006808005
DATA secondLow<>+8(SB)/8, $0x0a80800980800880
GLOBL secondLow<>(SB), RODATA|NOPTR, $16

// The spaces between.
DATA secondSpace<>+0(SB)/8, $0x2000002000002000
DATA secondSpace<>+8(SB)/8, $0x0000200000200000
GLOBL secondSpace<>(SB), RODATA|NOPTR, $16

// Which upper digit stands where in the third 16 bytes of text; 0x80 is none.
DATA thirdHigh<>+0(SB)/8, $0x0d80800c80800b80
DATA thirdHigh<>+8(SB)/8, $0x80800f80800e8080
GLOBL thirdHigh<>(SB), RODATA|NOPTR, $16

// The same for the lower digits.
DATA thirdLow<>+0(SB)/8, $0x80800c80800b8080
DATA thirdLow<>+8(SB)/8, $0x800f80800e80800d
GLOBL thirdLow<>(SB), RODATA|NOPTR, $16

// The spaces between.
DATA thirdSpace<>+0(SB)/8, $0x0020000020000020
DATA thirdSpace<>+8(SB)/8, $0x2000002000002000
GLOBL thirdSpace<>(SB), RODATA|NOPTR, $16

// One third of the text of 16 bytes, whose digits are in X0 and X1.
#define THIRD(high, low, space, at) \
	VPSHUFB high, X0, X2;  \
	VPSHUFB low, X1, X3;   \
	VPOR    X2, X3, X2;    \
	VPOR    space, X2, X2; \
	VMOVDQU X2, at(DI)

// func hexBlocks(dst, src *byte, n int)
TEXT ·hexBlocks(SB), NOSPLIT, $0-24
	MOVQ    dst+0(FP), DI
	MOVQ    src+8(FP), SI
	MOVQ    n+16(FP), CX
	VMOVDQU digits<>(SB), X4
	VMOVDQU lower<>(SB), X5
	VMOVDQU firstHigh<>(SB), X6
	VMOVDQU firstLow<>(SB), X7
	VMOVDQU firstSpace<>(SB), X8
	VMOVDQU secondHigh<>(SB), X9
	VMOVDQU secondLow<>(SB), X10
	VMOVDQU secondSpace<>(SB), X11
	VMOVDQU thirdHigh<>(SB), X12
	VMOVDQU thirdLow<>(SB), X13
	VMOVDQU thirdSpace<>(SB), X14

block:
	VMOVDQU (SI), X1
	VPSRLW  $4, X1, X0
	VPAND   X5, X0, X0
	VPAND   X5, X1, X1
	VPSHUFB X0, X4, X0
	VPSHUFB X1, X4, X1
	THIRD(X6, X7, X8, 0)
	THIRD(X9, X10, X11, 16)
	THIRD(X12, X13, X14, 32)
	ADDQ    $16, SI
	ADDQ    $48, DI
	SUBQ    $16, CX
	JNZ     block
	RET
