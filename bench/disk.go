package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// diskWriter is a process that writes as many bytes to a file as a load lets pass,
// the same ones again and again, in the way that costs a processor the least. What is
// left of the throughput beside it is about what the disk leaves to a recorder.
type diskWriter struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	ended  bool
	passed atomic.Int64 // bytes
	done   chan struct{}
}

// diskWrite is the size of its writes, bytes.
const diskWrite = 4 << 20

// diskFlag is the command line's for the process itself.
const diskFlag = "write-as-told"

func startDiskWriter(file string) (*diskWriter, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &diskWriter{cmd: exec.Command(self, "-"+diskFlag, file), done: make(chan struct{})}
	d.cmd.Stderr = os.Stderr
	stdin, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.stdout = bufio.NewReader(stdout)
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := d.stdout.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the process that writes: %w", err)
	}
	go d.report(stdin)
	return d, nil
}

// report writes to the process how many bytes have passed, every few milliseconds
// until done is closed.
func (d *diskWriter) report(stdin io.WriteCloser) {
	defer stdin.Close() // which ends the process
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-d.done:
			return
		case <-ticker.C:
			if binary.Write(stdin, binary.LittleEndian, d.passed.Load()) != nil {
				return // the process reports why
			}
		}
	}
}

func (d *diskWriter) pid() int { return d.cmd.Process.Pid }

// stop ends the process and returns how many bytes passed, and how many of them it
// has not written because they were more than a recorder would have buffered.
func (d *diskWriter) stop() (seen, lost uint64, err error) {
	if d.ended {
		return 0, 0, nil
	}
	d.ended = true
	close(d.done)
	text, readErr := d.stdout.ReadString('\n')
	if err := d.cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("the process that writes: %w", err)
	}
	if readErr != nil {
		return 0, 0, readErr
	}
	if lost, err = strconv.ParseUint(strings.TrimSpace(text), 10, 64); err != nil {
		return 0, 0, err
	}
	return uint64(d.passed.Load()), lost, nil
}

// writeAsMuch is the process: it writes to file as many bytes as have passed, which it
// reads from in. It writes to out when it is ready, and at the end how many bytes it
// had to leave out.
func writeAsMuch(file string, in io.Reader, out io.Writer) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	mem, err := unix.Mmap(-1, 0, diskWrite, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // a system without large pages has others
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	var passed atomic.Int64
	ended := make(chan error, 1)
	go func() { // ends with in
		var n int64
		for {
			if err := binary.Read(in, binary.LittleEndian, &n); err != nil {
				ended <- err
				return
			}
			passed.Store(n)
		}
	}()
	var done, lost int64
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		for ; passed.Load()-done >= diskWrite; done += diskWrite {
			if excess := passed.Load() - done - bufferSize; excess > 0 {
				lost, done = lost+excess, done+excess
			}
			if _, err := f.Write(mem); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				return err
			}
			_, err = fmt.Fprintln(out, lost)
			return err
		}
	}
}
