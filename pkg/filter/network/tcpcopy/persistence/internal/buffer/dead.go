package buffer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/safedir"
)

// ErrSpool says that a file is not a spool that can be read.
var ErrSpool = errors.New("not a spool of this version")

// ErrSpoolBusy says that the process that writes a spool is alive.
var ErrSpoolBusy = errors.New("its process is alive")

// ErrNoHeader says that a file is what a process has left that died while it created a
// spool, or that somebody has overwritten: nothing can be read of it.
var ErrNoHeader = fmt.Errorf("%w: it has no header", ErrSpool)

// DeadSpool is the spool that a killed process has left. It is read as a file and not
// mapped: a mapping ends the process where the file has been cut off, or where a page
// cannot be had. It trusts nothing that the file holds. One goroutine uses it.
type DeadSpool struct {
	file    *os.File
	dir     *safedir.Dir // that file is in; owned
	dump    *safedir.Dir // the pointer file is in
	pointer string       // base name of the pointer file; "" where it is gone
	header  SpoolHeader
	size    int64 // of the file, bytes
	changed time.Time
	damage  error // what of the file is missing

	states []ShardState // a copy of the file's, and of what a recovery has changed
	saved  []byte       // the file's
	window *WindowState // a copy of the file's; nil in a spool of the version before

	memory mapping // of the batch that was read last
}

// OpenSpool opens what a killed process has left, by its pointer file, of which pointer is
// the base name in dump. The caller ends it with Remove or Leave, and closes dump after
// that. Where the error is an ErrSpool there may be a spool too; see OpenSpoolFile.
func OpenSpool(dump *safedir.Dir, pointer string, limits Limits) (*DeadSpool, error) {
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
	if s != nil {
		s.dump, s.pointer = dump, pointer
	}
	return s, err
}

// Limits bound what a recovery believes a spool's header.
type Limits struct {
	Workers int
	Buffer  int64 // bytes of a batch; a spool has at most twice as many
	Record  int   // bytes of an entry of data
}

// A spool has an exclusive lock of its process while that lives, and of a recovery. Who
// only looks at it has a shared one, for which a recovery waits.

// OpenSpoolFile opens the spool of that base name in dir, whose pointer may be gone, and
// locks it. Where the error is an ErrSpool the caller gets the spool too, to Remove or
// Leave it; it has no states then.
func OpenSpoolFile(dir, name string, limits Limits) (*DeadSpool, error) {
	return openSpoolFile(dir, name, limits, lockExclusive)
}

// LookAtSpoolFile is OpenSpoolFile for somebody who does not change what a recovery will
// find: meanwhile there can be no recovery, and others may look too.
func LookAtSpoolFile(dir, name string, limits Limits) (*DeadSpool, error) {
	return openSpoolFile(dir, name, limits, func(fd int) error { return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) })
}

// lockExclusive locks the file fd. It waits for those who look at it, and not for a process
// that has it.
func lockExclusive(fd int) error {
	const tries, pause = 300, 10 * time.Millisecond
	for try := 1; ; try++ {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || try == tries {
			return err
		}
		if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
			return err
		}
		if err := unix.Flock(fd, unix.LOCK_UN); err != nil { // others wait like this
			return err
		}
		<-time.After(pause)
	}
}

func openSpoolFile(dir, name string, limits Limits, lock func(fd int) error) (s *DeadSpool, err error) {
	folder := safedir.Existing(dir)
	f, err := folder.OpenToWrite(name)
	if err != nil {
		folder.Close()
		return nil, err
	}
	path := f.Name()
	opened := &DeadSpool{file: f, dir: folder}
	defer func() {
		if s == nil {
			opened.Leave()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s is not a file that only this user may write", path)
	}
	if err := lock(int(f.Fd())); err != nil {
		return nil, ErrSpoolBusy
	}
	var st unix.Stat_t // under the lock
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Nlink == 0 {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	opened.size, opened.changed = st.Size, time.Unix(st.Mtim.Unix())
	if err := opened.readHeader(limits); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if errors.Is(err, ErrSpool) {
			return opened, err
		}
		return nil, err
	}
	if err := opened.readStates(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return opened, nil
}

// readHeader reads and checks the header, which decides what is where.
func (s *DeadSpool) readHeader(limits Limits) error {
	page := make([]byte, PageSize)
	if err := s.read(page, 0); err != nil {
		return err
	}
	n := int(binary.LittleEndian.Uint32(page[len(spoolMagic):]))
	if string(page[:len(spoolMagic)]) != spoolMagic || n > PageSize-headerText {
		return ErrNoHeader
	}
	if err := json.Unmarshal(page[headerText:headerText+n], &s.header); err != nil {
		return errors.Join(ErrNoHeader, err)
	}
	h := s.header
	if h.Version != spoolVersion && h.Version != versionWithoutWindow || h.Workers < 1 || h.Workers > limits.Workers || h.Batch < 1 || int64(h.Batch) > limits.Buffer ||
		h.Batch%PageSize != 0 || int64(h.Batch) > limits.Buffer/int64(h.Workers) || len(h.Formats) < 1 || len(h.Formats) > maxOutputs ||
		!plainName.MatchString(h.Run) || !plainName.MatchString(h.Window) {
		return fmt.Errorf("%w: header %+v", ErrSpool, h)
	}
	if size, _, _ := spoolSize(h.Workers, h.Batch); int64(size) > s.size {
		s.damage = fmt.Errorf("somebody has cut it off: it has %d of %d bytes", s.size, size)
	}
	return nil
}

// plainName is what runs and windows look like, which become parts of file names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// read fills p from an offset on. What is behind the end of the file reads as zeros, as
// what is in a hole does.
func (s *DeadSpool) read(p []byte, at int) error {
	n, err := s.file.ReadAt(p, int64(at))
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return nil
	}
	return err
}

// readStates reads how far the batches have got, and what is known of the window.
func (s *DeadSpool) readStates() error {
	if s.header.Version != versionWithoutWindow {
		s.window = new(WindowState)
		if err := s.read(s.window.image(), windowAt(s.header.Workers)); err != nil {
			return err
		}
	}
	s.states = make([]ShardState, s.header.Workers)
	if err := s.read(s.image(), PageSize); err != nil {
		return err
	}
	s.saved = slices.Clone(s.image())
	return nil
}

// image returns the memory image of the states, which is their form in the file.
func (s *DeadSpool) image() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&s.states[0])), len(s.states)*int(unsafe.Sizeof(s.states[0])))
}

// Save writes what has changed of the states to the file, so that another recovery goes
// on from here. The words that say which position or account holds come after all
// else, as in a mapping.
func (s *DeadSpool) Save() error {
	next := slices.Clone(s.image())
	now := slices.Clone(next)
	for i := range s.states {
		at := i * int(unsafe.Sizeof(ShardState{}))
		for _, word := range stateWords() {
			copy(now[at+word:at+word+8], s.saved[at+word:])
		}
	}
	for _, image := range [][]byte{now, next} {
		if _, err := s.file.WriteAt(image, PageSize); err != nil {
			return fmt.Errorf("write the states of %s: %w", s.file.Name(), err)
		}
	}
	s.saved = next
	return nil
}

// stateWords returns where in a ShardState the words are that are stored last.
func stateWords() []int {
	var s ShardState
	words := []int{int(unsafe.Offsetof(s.stored))}
	for i := range s.batches {
		for o := range s.batches[i].outputs {
			words = append(words, int(uintptr(unsafe.Pointer(&s.batches[i].outputs[o].phase))-uintptr(unsafe.Pointer(&s))))
		}
	}
	return words
}

// Header returns the spool's header, the zero one for a spool without.
func (s *DeadSpool) Header() SpoolHeader { return s.header }

// Path returns the path of the spool's file.
func (s *DeadSpool) Path() string { return s.file.Name() }

// Window returns what the spool says of the window, nil in a spool of the version before.
// It may say anything.
func (s *DeadSpool) Window() *WindowState { return s.window }

// Changed returns when the file was last written to.
func (s *DeadSpool) Changed() time.Time { return s.changed }

// Damage returns what of the file is missing, nil for nothing.
func (s *DeadSpool) Damage() error { return s.damage }

// State returns how far the batches of a shard have got. Changes of it are Saved.
func (s *DeadSpool) State(shard int) *ShardState { return &s.states[shard] }

// Begun reports whether the session had begun: a process may die between the header and
// the first word of the states.
func (s *DeadSpool) Begun() bool {
	for i := range s.states {
		if s.states[i].batches[0].number.Load() > 0 || s.states[i].batches[1].number.Load() > 0 {
			return true
		}
	}
	return s.damage != nil
}

// Remove closes the spool and removes its files.
func (s *DeadSpool) Remove() {
	s.memory.free()
	if s.pointer != "" { // first, as in Spool.Remove
		_ = s.dump.Remove(s.pointer)
	}
	_ = s.dir.Remove(filepath.Base(s.file.Name()))
	_ = s.file.Close() // which unlocks it
	s.dir.Close()
}

// Leave closes a spool and keeps its files.
func (s *DeadSpool) Leave() {
	s.memory.free()
	_ = s.file.Close()
	s.dir.Close()
}

// Trim gives the pages back that nothing needs: those of batches that are done, and
// between the data and the entries of the others.
func (s *DeadSpool) Trim(limits Limits) error {
	for shard := range s.states {
		pending := s.Pending(shard)
		for which := range s.states[shard].batches {
			from, to := 0, s.header.Batch
			i := slices.IndexFunc(pending, func(p PendingBatch) bool { return p.which == which })
			if i >= 0 {
				s.memory.free()
				_, data, err := s.readEntries(pending[i], limits)
				if err != nil {
					return err
				}
				used := int(min(pending[i].State.used.Load(), uint64(s.header.Batch)))
				from, to = (data+PageSize-1)&^(PageSize-1), (s.header.Batch-used)&^(PageSize-1)
			}
			if start := s.header.batchAt(shard, which); from < to {
				// A file system that cannot keeps the pages.
				_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(start+from), int64(to-from))
			}
		}
	}
	s.memory.free()
	return nil
}

// Readable reports whether more than the header can be read.
func (s *DeadSpool) Readable() bool { return s.states != nil }

// Size returns how many bytes the spool would have if nothing was given back.
func (s *DeadSpool) Size() int64 {
	size, _, _ := spoolSize(s.header.Workers, s.header.Batch)
	return int64(size)
}

// Blocks returns how many bytes the file has of its file system.
func (s *DeadSpool) Blocks() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return 0, fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	return st.Blocks * 512, nil
}
