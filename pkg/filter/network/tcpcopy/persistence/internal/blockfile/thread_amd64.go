package blockfile

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A thread writes for a queue. Go's scheduler does not know it: a goroutine that comes
// back from a write waits until the scheduler has a processor for it, behind all that the
// proxy has to do, and the disk has nothing to do meanwhile. The thread goes on with the
// next write at once, and reports in memory what has become of the last one. It runs no
// Go code, has no stack that it uses and accepts no signal: it waits for requests, writes,
// and ends.
type thread struct {
	mem  []byte
	ring *ring
	next uint32 // requests handed on so far
	seen uint32 // of them, those whose result was returned
}

// ring is the memory that a thread shares with its owner. Its layout is in the assembly.
type ring struct {
	submitted uint32 // requests handed on so far; a futex
	done      uint32 // of them, those that are done
	alive     uint32 // 0 when the thread has ended; a futex
	_         [52]byte
	requests  [maxRequests]request
	iovecs    [maxRequests][maxIovecs]unix.Iovec
}

type request struct {
	fd     int64 // -1 ends the thread
	iovecs uintptr
	n      int64
	offset int64
	result int64 // bytes, or the negative number of an error
	_      [24]byte
}

// maxIovecs is how many parts a write of a thread has at most.
const maxIovecs = 16

const threadStack = 4096 // bytes, which nobody uses

func spawnThread(flags, stack uintptr, r *ring) (tid int)

// startThread returns a thread as a writer, which end ends.
func startThread() (w writer, end func(), err error) {
	t, err := newThread()
	if err != nil {
		return nil, nil, err
	}
	return t, func() { _ = t.close() }, nil // what stays is its memory
}

// newThread starts a thread, which close ends.
func newThread() (*thread, error) {
	size := (int(unsafe.Sizeof(ring{}))+PageSize-1)&^(PageSize-1) + threadStack
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory for a thread: %w", err)
	}
	t := &thread{mem: mem, ring: (*ring)(unsafe.Pointer(&mem[0]))}
	t.ring.alive = 1
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM | unix.CLONE_CHILD_CLEARTID
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, old := ^uint64(0), uint64(0)
	const setMask = 2
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0); errno != 0 {
		_ = unix.Munmap(mem)
		return nil, fmt.Errorf("block signals: %w", errno)
	}
	tid := spawnThread(flags, uintptr(unsafe.Pointer(&mem[0]))+uintptr(len(mem)), t.ring)
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	if tid < 0 {
		_ = unix.Munmap(mem)
		return nil, fmt.Errorf("start a thread: %w", unix.Errno(-tid))
	}
	return t, nil
}

// write implements writer, for maxIovecs parts at most, which are not in Go's heap.
func (t *thread) write(fd uintptr, parts [][]byte, offset int64) bool {
	if t.next-t.seen >= maxRequests {
		return false
	}
	i := t.next % maxRequests
	for k, p := range parts {
		t.ring.iovecs[i][k] = unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	}
	t.ring.requests[i] = request{fd: int64(fd), iovecs: uintptr(unsafe.Pointer(&t.ring.iovecs[i])), n: int64(len(parts)), offset: offset}
	t.submit()
	return true
}

func (t *thread) submit() {
	t.next++
	atomic.StoreUint32(&t.ring.submitted, t.next)
	const wakePrivate = 1 | 128
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&t.ring.submitted)), wakePrivate, 1, 0, 0, 0)
}

// result implements writer.
func (t *thread) result() (w written, ok bool) {
	if t.seen == t.next || atomic.LoadUint32(&t.ring.done) == t.seen {
		return written{}, false
	}
	r := t.ring.requests[t.seen%maxRequests].result
	t.seen++
	if r < 0 {
		return written{err: unix.Errno(-r)}, true
	}
	return written{n: int(r)}, true
}

// close ends the thread. All results have been returned.
func (t *thread) close() error {
	t.ring.requests[t.next%maxRequests].fd = -1
	t.submit()
	for atomic.LoadUint32(&t.ring.alive) != 0 {
		const wait = 0 // not private: the kernel wakes the others without knowing
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&t.ring.alive)), wait, 1, 0, 0, 0)
		if errno != 0 && !errors.Is(errno, unix.EINTR) && !errors.Is(errno, unix.EAGAIN) {
			return errno // the memory stays
		}
	}
	return unix.Munmap(t.mem)
}
