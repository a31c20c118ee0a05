package buffer

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/record"
)

// ErrSpool says that a file is not a spool that can be read.
var ErrSpool = errors.New("not a spool of this version")

// ErrSpoolBusy says that the process that writes a spool is alive.
var ErrSpoolBusy = errors.New("its process is alive")

// OpenSpool opens what a killed process has left, by its pointer file, of which pointer is
// the base name in dump. The caller ends it with Remove or Leave, and closes dump after
// that.
func OpenSpool(dump *safedir.Dir, pointer string, limits Limits) (*Spool, error) {
	f, err := dump.OpenToRead(pointer)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, unix.PathMax+1))
	if err != nil {
		return nil, err
	}
	path := strings.TrimSpace(string(text))
	if len(text) > unix.PathMax || !filepath.IsAbs(path) || strings.ContainsAny(path, "\x00\n") {
		return nil, fmt.Errorf("%s holds no path of a spool: %w", f.Name(), ErrSpool)
	}
	s, err := OpenSpoolFile(filepath.Dir(path), filepath.Base(path), limits)
	if err != nil {
		return nil, err
	}
	s.dump, s.pointer = dump, pointer
	return s, nil
}

// Limits bound what a recovery believes a spool's header.
type Limits struct {
	Workers int
	Buffer  int64 // bytes of a batch; a spool has at most twice as many
}

// OpenSpoolFile opens the spool of that base name in dir, whose pointer may be gone.
func OpenSpoolFile(dir, name string, limits Limits) (s *Spool, err error) {
	folder := safedir.Existing(dir)
	f, err := folder.OpenToWrite(name)
	if err != nil {
		folder.Close()
		return nil, err
	}
	path := f.Name()
	opened := &Spool{file: f, dir: folder}
	defer func() {
		if err != nil {
			opened.Leave()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, ErrSpoolBusy
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s is not a file that only this user may write", path)
	}
	if info.Size() < PageSize || info.Size() > 2*limits.Buffer {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), ErrSpool)
	}
	if opened.mapped, err = newMapping(int(f.Fd()), int(info.Size())); err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	if err := opened.readHeader(limits); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	opened.overlay()
	return opened, nil
}

// readHeader reads and checks the header, which decides what is where.
func (s *Spool) readHeader(limits Limits) error {
	n := int(binary.LittleEndian.Uint32(s.mapped.mem[8:]))
	if string(s.mapped.mem[:8]) != spoolMagic || n > PageSize-12 {
		return ErrSpool
	}
	if err := json.Unmarshal(s.mapped.mem[12:12+n], &s.header); err != nil {
		return errors.Join(ErrSpool, err)
	}
	h := s.header
	if h.Version != spoolVersion && h.Version != versionWithoutWindow || h.Workers < 1 || h.Workers > limits.Workers || h.Batch < 1 || int64(h.Batch) > limits.Buffer ||
		h.Batch%PageSize != 0 || len(h.Formats) < 1 || len(h.Formats) > maxOutputs ||
		!plainName.MatchString(h.Run) || !plainName.MatchString(h.Window) {
		return fmt.Errorf("%w: header %+v", ErrSpool, h)
	}
	if size, _, _ := spoolSize(h.Workers, h.Batch); size != len(s.mapped.mem) {
		return fmt.Errorf("%w: %d bytes, its header says %d", ErrSpool, len(s.mapped.mem), size)
	}
	return nil
}

// plainName is what runs and windows look like, which become parts of file names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// Header returns the spool's header.
func (s *Spool) Header() SpoolHeader { return s.header }

// Path returns the path of the spool's file.
func (s *Spool) Path() string { return s.file.Name() }

// Leave closes a spool and keeps its files.
func (s *Spool) Leave() {
	s.unmap()
	if s.file == nil {
		return // it is kept
	}
	_ = s.file.Close()
	s.dir.Close()
}

// Pending returns the batches of a shard that were not done, in their order. They
// hold whole entries only. damage says what was cut off.
func (s *Spool) Pending(shard int) (batches []*Batch, damage error) {
	state := s.states[shard]
	for i := range state.batches {
		b := &state.batches[i]
		if b.number.Load() <= state.account().number || b.used.Load() == 0 {
			continue
		}
		mem := s.batchMemory(shard, i)
		batches = append(batches, &Batch{mem: mem, n: int(min(b.used.Load(), uint64(len(mem)))), state: b})
	}
	slices.SortFunc(batches, func(a, b *Batch) int { return cmp.Compare(a.state.Number(), b.state.Number()) })
	for _, b := range batches {
		used := b.n
		if b.n = b.wholeEntries(); b.n < used {
			damage = fmt.Errorf("shard %d of window %s: damaged after %d of %d bytes", shard, s.header.Window, b.n, used)
		}
	}
	return batches, damage
}

// LastTime returns the time of the batch's last entry, nanoseconds since the Unix
// epoch, 0 without one.
func (b *Batch) LastTime() (last int64) {
	var e Entry
	for at := 0; at < b.n; {
		next, ok := b.Entry(at, &e)
		if !ok {
			break
		}
		at, last = next, e.Time
	}
	return last
}

// maxSlots bounds the connections of a shard at a time that a recovery believes.
const maxSlots = 1 << 24

// wholeEntries returns how many bytes of b's entries can be encoded.
func (b *Batch) wholeEntries() (n int) {
	named := map[uint32]bool{} // slots with a connection header
	var e Entry
	for n < b.n {
		next, ok := b.Entry(n, &e)
		if !ok || e.Dir > record.Out || e.Reason >= record.NumReasons || e.Slot > maxSlots {
			break
		}
		if e.Kind == KindHeader {
			named[e.Slot] = len(e.Payload) >= minPayload[KindHeader]
		}
		if !named[e.Slot] || len(e.Payload) < minPayload[e.Kind] {
			break
		}
		if e.Kind == KindClose {
			delete(named, e.Slot)
		}
		n = next
	}
	return n
}
