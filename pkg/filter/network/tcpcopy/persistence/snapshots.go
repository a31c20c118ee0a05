package persistence

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// What stands in a snapshot file instead of a configuration.
const (
	unchanged = "no_change" // it is the same as in the last line that holds one
	skipped   = "skipped"   // it could not be written; the log has an alert
)

// Source is a configuration of the proxy. Its readers are read in small pieces, with
// pauses in between, and closed.
type Source struct {
	// JSON opens the configuration as JSON.
	JSON func() (io.ReadCloser, error)
	// Text opens what JSON is made from, if that is cheaper to read: while it is the same,
	// JSON is. nil means JSON.
	Text func() (io.ReadCloser, error)
}

// snapshots is a file of snapshots of one configuration, one line per window. It
// is used by one goroutine at a time.
type snapshots struct {
	file   *logdir.AppendLog
	source *Source // nil when there is no such configuration
	seed   maphash.Seed

	known bool           // the rest holds
	text  uint64         // hash of the source's text; it is keyed and never leaves the memory
	size  int64          // of the text
	last  [md5.Size]byte // of the configuration that the file has last, masked
	end   int64          // size of the file for which last holds
}

// errUnchanged ends the writing of a configuration that the file has already.
var errUnchanged = errors.New("unchanged")

// write writes the lines of windows that have ended: the configuration with its secrets
// masked when it differs from the last one in the file, otherwise a word that says so. A
// configuration that has not changed is read, but neither masked nor kept in memory.
func (s *snapshots) write(windows []string, now time.Time, p *pace) (err error) {
	if s.source == nil || len(windows) == 0 {
		return nil
	}
	defer func() {
		// The configuration is anybody's: what it does to us must not end the proxy.
		if r := recover(); r != nil {
			err = newPanicError("a snapshot", r)
		}
		if err != nil {
			s.known = false                    // the file may have been rolled, and begin with these lines
			_ = s.words(windows, skipped, now) // err is the one that counts
		}
	}()
	text, size, err := s.fingerprint(p)
	if err != nil {
		return fmt.Errorf("load configuration: %w", err)
	}
	end, more := s.file.Size(now)
	own := s.known && end == s.end
	if same := s.known && text == s.text && size == s.size; more && own && same {
		if err = s.words(windows, unchanged, now); !errors.Is(err, errNewFile) {
			return err
		}
		more = false
	}
	var last [md5.Size]byte // zero when the file has none
	if more {
		if last = s.last; !own { // an earlier process has written, or one beside us
			if last, err = lastSnapshot(s.file, p); err != nil {
				return err
			}
		}
	}
	err = s.configuration(windows[0], now, size, last, p)
	if errors.Is(err, errUnchanged) {
		s.text, s.size, s.last, s.known = text, size, last, true
		if err = s.words(windows, unchanged, now); errors.Is(err, errNewFile) {
			err = s.write(windows, now, p)
		}
		return err
	}
	if err != nil {
		return err
	}
	s.text, s.size, s.known = text, size, true
	return s.words(windows[1:], unchanged, now)
}

// fingerprint reads the source's text.
func (s *snapshots) fingerprint(p *pace) (hash uint64, size int64, err error) {
	open := s.source.Text
	if open == nil {
		open = s.source.JSON
	}
	r, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	var h maphash.Hash
	h.SetSeed(s.seed)
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n]) // never fails
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return h.Sum64(), size, nil
		}
		if err == nil {
			err = p.yield()
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// configuration writes the line with the masked configuration. It returns errUnchanged,
// and writes nothing, if that is the last one of the file.
func (s *snapshots) configuration(window string, now time.Time, size int64, last [md5.Size]byte, p *pace) error {
	r, err := s.source.JSON()
	if err != nil {
		return fmt.Errorf("load configuration: %w", err)
	}
	defer r.Close()
	var sum [md5.Size]byte
	err = s.file.AppendLine(size, func(w *logdir.LineWriter) error {
		prefix := fmt.Appendf(hexlog.AppendPrefix(nil, now), "[%s]", window)
		if _, err := w.Write(prefix); err != nil {
			return err
		}
		h := md5.New()
		// What could not be masked must not be written.
		if err := mask.Copy(io.MultiWriter(w, h), r, p.yield); err != nil {
			return fmt.Errorf("mask configuration of %d bytes: %w", size, err)
		}
		h.Sum(sum[:0])
		if sum == last && !w.First() {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.last = sum
	s.end, _ = s.file.Size(now)
	return nil
}

// errNewFile says that a file begins, so that it needs a configuration.
var errNewFile = errors.New("the file has no configuration yet")

// words writes a line with a word for each window.
func (s *snapshots) words(windows []string, word string, now time.Time) error {
	if len(windows) == 0 {
		return nil
	}
	var lines []byte
	for _, window := range windows {
		lines = fmt.Appendf(hexlog.AppendPrefix(lines, now), "[%s]%s\n", window, word)
	}
	lines = lines[:len(lines)-1] // AppendLine adds the last newline
	err := s.file.AppendLine(int64(len(lines)), func(w *logdir.LineWriter) error {
		if w.First() && word == unchanged {
			return errNewFile
		}
		_, err := w.Write(lines)
		return err
	})
	if err != nil {
		return err
	}
	s.end, _ = s.file.Size(now)
	return nil
}

const (
	// snapshotTail is how far back lastSnapshot looks: lines that say unchanged are
	// short, so that many windows fit.
	snapshotTail = 64 << 20
	snapshotHead = 256 // of a line: its fields, and the beginning of its configuration
)

// lastSnapshot returns the MD5 of the last configuration in the file, or
// zeroes when there is none. It reads the file backwards, in pieces.
func lastSnapshot(file *logdir.AppendLog, p *pace) (sum [md5.Size]byte, err error) {
	f, err := file.OpenToRead()
	if err != nil {
		return sum, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sum, nil
	}
	const piece = 256 << 10
	buf := make([]byte, piece)
	end := info.Size() - 1 // of the line that is looked for: its newline
	for at := end; at > 0 && info.Size()-at < snapshotTail; {
		from := max(0, at-piece)
		n, err := f.ReadAt(buf[:at-from], from)
		if err != nil {
			return sum, nil
		}
		for i := n; i > 0; {
			i = bytes.LastIndexByte(buf[:i], '\n')
			begin := from + int64(i) + 1
			if i < 0 {
				if from > 0 {
					break
				}
				begin = 0
			}
			if config, ok := configurationAt(f, begin, end); ok {
				h := md5.New()
				_, err := io.Copy(h, &pacedReader{io.NewSectionReader(f, config, end-config), p})
				h.Sum(sum[:0])
				return sum, err
			}
			end = begin - 1
		}
		at = from
		if err := p.yield(); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// configurationAt returns where the configuration begins in the line from begin to end.
// ok is false if the line has none.
func configurationAt(f io.ReaderAt, begin, end int64) (config int64, ok bool) {
	head := make([]byte, min(snapshotHead, max(0, end-begin)))
	if _, err := f.ReadAt(head, begin); err != nil {
		return 0, false
	}
	at := bytes.Index(head, []byte("]{"))
	return begin + int64(at) + 1, at > 0
}

// pacedReader yields at each read.
type pacedReader struct {
	io.Reader
	pace *pace
}

func (r *pacedReader) Read(b []byte) (int, error) {
	if err := r.pace.yield(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b[:min(len(b), 32<<10)])
}
