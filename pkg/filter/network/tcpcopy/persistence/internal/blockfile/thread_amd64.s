#include "textflag.h"

// func spawnThread(flags, stack uintptr, r *ring) (tid int)
TEXT ·spawnThread(SB), NOSPLIT, $0-32
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ r+16(FP), R12
	MOVQ $0, DX
	LEAQ 8(R12), R10 // ring.alive
	MOVQ $0, R8
	MOVQ $56, AX // clone
	SYSCALL
	TESTQ AX, AX
	JZ   thread
	MOVQ AX, tid+24(FP)
	RET

thread:
	MOVL 4(R12), AX  // ring.done
	MOVL 0(R12), DX  // ring.submitted
	CMPL AX, DX
	JNE  work
	MOVQ R12, DI
	MOVQ $128, SI    // FUTEX_WAIT_PRIVATE
	MOVQ $0, R10
	MOVQ $202, AX    // futex
	SYSCALL
	JMP  thread

work:
	ANDL $15, AX
	SHLQ $6, AX
	LEAQ 64(R12)(AX*1), R13 // ring.requests[done%16]
	MOVQ 0(R13), DI  // fd
	CMPQ DI, $0
	JLT  exit
	MOVQ 8(R13), SI  // iov
	MOVQ 16(R13), DX // its length
	MOVQ 24(R13), R10 // offset
	MOVQ $0, R8
	MOVQ $296, AX    // pwritev
	SYSCALL
	MOVQ AX, 32(R13)
	MOVL 4(R12), AX
	INCL AX
	XCHGL AX, 4(R12)
	JMP  thread

exit:
	MOVQ $0, DI
	MOVQ $60, AX     // exit
	SYSCALL
	INT  $3
