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
	layout  spoolLayout

	// Copies of what the file has; of the readers, with what a recovery has changed.
	shards   []ShardState
	batches  [][]batchState // by shard
	sessions []deadSession
	saved    []byte // of the readers, what the file has

	memory mapping // of the batch that was read last
}

// deadSession is what a spool has of one session.
type deadSession struct {
	window  *WindowState
	readers []ReaderState // by shard
	stored  uint64        // texts that the file's window has stored
	alive   int64         // what the file's window has
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
	Buffer  int64 // bytes of all batches together
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
	if err := opened.readStates(limits); err != nil {
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
	h := &s.header
	if h.Version == versionOfTwo {
		h.Batches, h.Sessions = 2, 1
	}
	most := limits.Buffer / PageSize
	if h.Version != spoolVersion && h.Version != versionOfTwo || h.Workers < 1 || h.Workers > limits.Workers ||
		h.Batch < 1 || h.Batch%PageSize != 0 || int64(h.Batch) > limits.Buffer || h.Batches < 2 || int64(h.Batches) > most ||
		int64(h.Batches)*int64(h.Batch) > limits.Buffer/int64(h.Workers) || h.Sessions < 1 || h.Sessions > maxSessions ||
		len(h.Formats) < 1 || len(h.Formats) > maxOutputs || !plainName.MatchString(h.Run) || !plainName.MatchString(h.Window) {
		return fmt.Errorf("%w: header %+v", ErrSpool, *h)
	}
	s.layout = layoutOf(h)
	if size := s.layout.size; int64(size) > s.size {
		s.damage = fmt.Errorf("somebody has cut it off: it has %d of %d bytes", s.size, size)
	}
	return nil
}

// maxSessions bounds the sessions that a recovery believes.
const maxSessions = 64

// plainName is what runs and windows look like, which become parts of file names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// PlainName reports whether name is what runs and windows look like.
func PlainName(name string) bool { return plainName.MatchString(name) }

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

// readStates reads how far the batches and the readers have got, and what is known of
// the windows.
func (s *DeadSpool) readStates(limits Limits) error {
	h := &s.header
	if h.Version == versionOfTwo {
		return s.readOldStates(limits)
	}
	s.shards = make([]ShardState, h.Workers)
	if err := s.read(image(s.shards), s.layout.shard(0)); err != nil {
		return err
	}
	s.batches = make([][]batchState, h.Workers)
	for i := range s.batches {
		s.batches[i] = make([]batchState, h.Batches)
		if err := s.read(image(s.batches[i]), s.layout.batchState(i, 0)); err != nil {
			return err
		}
	}
	s.sessions = make([]deadSession, h.Sessions)
	for i := range s.sessions {
		d := deadSession{window: new(WindowState), readers: make([]ReaderState, h.Workers)}
		if err := s.read(d.window.image(), s.layout.window(i)); err != nil {
			return err
		}
		if err := s.read(image(d.readers), s.layout.reader(i, 0)); err != nil {
			return err
		}
		d.stored, d.alive = d.window.stored.Load(), d.window.Alive()
		s.sessions[i] = d
	}
	s.saved = s.readers()
	return nil
}

// image returns the memory image of the elements of s, which is their form in the file.
func image[T any](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// readers returns a copy of the memory image of all ReaderStates.
func (s *DeadSpool) readers() (all []byte) {
	for i := range s.sessions {
		all = append(all, image(s.sessions[i].readers)...)
	}
	return all
}

// Save writes what has changed of the readers and windows to the file, so that another recovery goes
// on from here. The words that say which position or account holds come after all
// else, as in a mapping.
func (s *DeadSpool) Save() error {
	for i := range s.sessions {
		if err := s.saveWindow(i); err != nil {
			return err
		}
	}
	if s.header.Version == versionOfTwo {
		return s.saveOld()
	}
	next := s.readers()
	size := s.header.Workers * readerStateSize // of a session's
	for _, image := range [][]byte{withWords(next, s.saved, readerStateSize, readerWords()), next} {
		for i := range s.sessions {
			if _, err := s.file.WriteAt(image[i*size:(i+1)*size], int64(s.layout.reader(i, 0))); err != nil {
				return fmt.Errorf("write the states of %s: %w", s.file.Name(), err)
			}
		}
	}
	s.saved = next
	return nil
}

// saveWindow writes what is known of a session's window, if that has changed.
func (s *DeadSpool) saveWindow(session int) error {
	d := &s.sessions[session]
	if d.window.stored.Load() == d.stored && d.window.Alive() == d.alive {
		return nil
	}
	if _, err := s.file.WriteAt(d.window.image(), int64(s.layout.window(session))); err != nil {
		return fmt.Errorf("write the states of %s: %w", s.file.Name(), err)
	}
	d.stored, d.alive = d.window.stored.Load(), d.window.Alive()
	return nil
}

// withWords returns a copy of image, which has elements of size bytes, where the words at
// those offsets in each element are those of before.
func withWords(image, before []byte, size int, words []int) []byte {
	image = slices.Clone(image)
	for at := 0; at < len(image); at += size {
		for _, word := range words {
			copy(image[at+word:at+word+8], before[at+word:])
		}
	}
	return image
}

// readerWords returns where in a ReaderState the words are that are stored last.
func readerWords() []int {
	var s ReaderState
	words := []int{int(unsafe.Offsetof(s.stored))}
	for o := range s.outputs {
		words = append(words, int(uintptr(unsafe.Pointer(&s.outputs[o].phase))-uintptr(unsafe.Pointer(&s))))
	}
	return words
}

// Header returns the spool's header, the zero one for a spool without.
func (s *DeadSpool) Header() SpoolHeader { return s.header }

// Path returns the path of the spool's file.
func (s *DeadSpool) Path() string { return s.file.Name() }

// Window returns what the spool says of a session's window. It may say anything.
func (s *DeadSpool) Window(session int) *WindowState { return s.sessions[session].window }

// Changed returns when the file was last written to.
func (s *DeadSpool) Changed() time.Time { return s.changed }

// Damage returns what of the file is missing, nil for nothing.
func (s *DeadSpool) Damage() error { return s.damage }

// Shard returns what a shard has lost.
func (s *DeadSpool) Shard(shard int) *ShardState { return &s.shards[shard] }

// Reader returns how far a session's reader of a shard has got. Changes of it are Saved.
func (s *DeadSpool) Reader(session, shard int) *ReaderState {
	return &s.sessions[session].readers[shard]
}

// Begun reports whether the session had begun: a process may die between the header and
// the first word of the states.
func (s *DeadSpool) Begun() bool {
	for shard := range s.batches {
		for which := range s.batches[shard] {
			if s.batches[shard][which].number.Load() > 0 {
				return true
			}
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
	for shard := range s.batches {
		for which := range s.batches[shard] {
			from, to := 0, s.header.Batch
			if p, pending := s.pendingOf(shard, which); pending {
				s.memory.free()
				_, data, err := s.readEntries(p, limits)
				if err != nil {
					return err
				}
				used := int(min(p.state.used.Load(), uint64(s.header.Batch)))
				from, to = (data+PageSize-1)&^(PageSize-1), (s.header.Batch-used)&^(PageSize-1)
			}
			if start := s.layout.batch(shard, which); from < to {
				// A file system that cannot keeps the pages.
				_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(start+from), int64(to-from))
			}
		}
	}
	s.memory.free()
	return nil
}

// pendingOf returns what is pending of a batch in any session.
func (s *DeadSpool) pendingOf(shard, which int) (p PendingBatch, pending bool) {
	for session := range s.sessions {
		for _, p := range s.Pending(session, shard) {
			if p.which == which {
				return p, true
			}
		}
	}
	return p, false
}

// Readable reports whether more than the header can be read.
func (s *DeadSpool) Readable() bool { return s.sessions != nil }

// Size returns how many bytes the spool would have if nothing was given back.
func (s *DeadSpool) Size() int64 { return int64(s.layout.size) }

// Blocks returns how many bytes the file has of its file system.
func (s *DeadSpool) Blocks() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return 0, fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	return st.Blocks * 512, nil
}
