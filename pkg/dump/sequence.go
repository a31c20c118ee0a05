package dump

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// fileSequence reads files that continue one another, such as a log and its archives
// or the segments of a set, as one run of records. It has one file open at most.
type fileSequence struct {
	options *Options
	read    *atomic.Int64     // bytes of files, for progress
	begins  time.Time         // no record is earlier, where it is not zero
	format  Format            // what the names say; FormatAny: look into each file
	known   *segmentedWindows // nil, or the windows whose records another sequence has

	times *lineTimes // of hex lines; nil before the first

	paths []string // not opened yet
	tail  tailer   // nil, or returns more paths once all are read

	open    *file           // nil between files, and for standard input
	decoder decoder         // hex or packets, for the file; nil between files
	hex     *hexlog.Decoder // nil before the first file of its format
	packets *pcapng.Decoder // nil before the first file of its format

	head   *record.Record // what next has returned, valid until the next call
	serial int            // order among sequences, for records of the same time
}

// next returns the next record that the options want; see Reader. It may also return
// record.ErrNoMoreYet.
func (s *fileSequence) next() (*record.Record, error) {
	for {
		if s.decoder == nil {
			if err := s.openNext(); err != nil {
				return nil, err
			}
			continue
		}
		rec, err := s.decoder.Next()
		switch {
		case errors.Is(err, io.EOF):
			s.closeFile()
			continue
		case errors.Is(err, record.ErrNoMoreYet):
			if s.extend() {
				continue
			}
			return nil, record.ErrNoMoreYet
		case err != nil:
			return nil, err
		}
		if !s.options.Filter.Match(rec) || s.known != nil && s.known.contain(rec) {
			continue
		}
		return rec, nil
	}
}

// openNext opens the next file.
func (s *fileSequence) openNext() error {
	if len(s.paths) == 0 && s.tail != nil {
		more, keep := s.tail(nil)
		if keep {
			return record.ErrNoMoreYet
		}
		s.paths = more
	}
	if len(s.paths) == 0 {
		return io.EOF
	}
	path := s.paths[0]
	s.paths = s.paths[1:]
	f, err := openFile(path, s.read)
	if err != nil {
		return &record.DamageError{File: path, Err: err}
	}
	f.tail = s.tail != nil && len(s.paths) == 0 && layout.MayGrow(path)
	s.open = f
	if err := s.begin(f, path); err != nil {
		s.closeFile()
		return &record.DamageError{File: path, Err: err}
	}
	return nil
}

// begin has the decoder that fits src decode it.
func (s *fileSequence) begin(src io.Reader, path string) error {
	format := s.format
	if f, ok := src.(*file); !ok || !f.tail {
		content, head, err := sniff(src)
		if err != nil {
			return err
		}
		src = content
		if format == FormatAny && isPcapng(path, head) {
			format = FormatPcapng
		}
	}
	if format == FormatPcapng {
		if s.packets == nil {
			s.packets = pcapng.NewDecoder()
			s.packets.Remark = s.options.Remark
		}
		s.packets.Reset(src, path)
		s.decoder = s.packets
		return nil
	}
	if s.hex == nil {
		if s.times == nil {
			s.times = newLineTimes(s.options)
		}
		s.hex = hexlog.NewDecoder(s.times)
	}
	s.times.turnTo(path)
	s.hex.Reset(src, path)
	s.decoder = s.hex
	return nil
}

// extend adds the files that come after the open one. It reports whether there is more
// to read: not as long as the open file may still grow.
func (s *fileSequence) extend() bool {
	if !s.open.tail {
		return false
	}
	more, keep := s.tail(s.open.f)
	if keep {
		return false
	}
	s.paths = append(s.paths, more...)
	// What was written between the last read and the rotation is read now; then the
	// file ends.
	s.open.tail = false
	return true
}

func (s *fileSequence) closeFile() {
	if s.open != nil {
		// A file that was only read has nothing to lose.
		_ = s.open.f.Close()
		s.open = nil
	}
	s.decoder = nil
}
