package dump

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Format is a format of files with records.
type Format string

// The formats that Options can name.
const (
	FormatAny    Format = ""       // whatever is there; of a window that is there twice, one
	FormatHex    Format = "hex"    // hex and hex_meta lines
	FormatPcapng Format = "pcapng" // segments and other pcapng files
)

// Options say what is read, and how.
type Options struct {
	Filter Filter
	Format Format
	Zone   *time.Location // of the times in hex lines of which the index does not say it; nil means the local one
	Stdin  io.Reader      // what the path "-" stands for

	// Remark, when not nil, is called with a sentence about what was left out or assumed
	// although nothing is damaged: once for each file and kind.
	Remark func(sentence string)

	// Wait, when not nil, makes the reading go on at the end of what is there: it
	// is called when there is nothing more to read yet and returns when it is worth
	// looking again, or an error, which Next then returns.
	Wait func() error
}

func (o *Options) zone() *time.Location {
	if o.Zone == nil {
		return time.Local
	}
	return o.Zone
}

// remark calls Remark with a formatted sentence.
func (o *Options) remark(format string, args ...any) {
	if o.Remark != nil {
		o.Remark(fmt.Sprintf(format, args...))
	}
}

// ErrNoDump says that a directory holds no file of the recorder.
var ErrNoDump = errors.New("no dump files here")

// Open finds the files at paths, each a directory, a file or "-" for standard
// input. Close releases what it returns.
func Open(paths []string, o Options) (*Dump, error) {
	d := &Dump{options: o, paths: paths, sets: map[string]bool{}}
	for _, path := range paths {
		if err := d.add(path); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// add adds the sequences of files at path.
func (d *Dump) add(path string) error {
	if path == "-" {
		if d.options.Stdin == nil {
			return errors.New("read -: no standard input")
		}
		s := d.newSequence()
		if err := s.begin(d.options.Stdin, "-"); err != nil {
			return &record.DamageError{File: "-", Err: err}
		}
		d.postpone(s)
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		s := d.newSequence()
		s.paths = []string{path}
		d.total.Add(info.Size())
		if d.options.Wait != nil {
			s.tail = tailFile(path)
		}
		d.postpone(s)
		return nil
	}
	found, err := layout.Scan(path)
	if err != nil {
		return err
	}
	if len(found.FlowLog) == 0 && len(found.Sets) == 0 && !found.HasIndex && d.options.Wait == nil {
		return fmt.Errorf("%s: %w", path, ErrNoDump)
	}
	d.addSegments(found)
	d.addFlowLog(found)
	for _, f := range found.Unread {
		d.options.remark("%s is not read: %s", f.Path, f.Hint)
	}
	if d.options.Format != FormatHex {
		for _, name := range missingFiles(found, &d.options.Filter) {
			d.damage = append(d.damage, &record.DamageError{File: name, Err: record.ErrMissing})
		}
	}
	return nil
}

// newSequence returns a sequence without files.
func (d *Dump) newSequence() *fileSequence {
	d.serial++
	return &fileSequence{options: &d.options, read: &d.read, format: d.options.Format, serial: d.serial}
}

// addSegments adds a sequence for each segment set that has none yet.
func (d *Dump) addSegments(found *layout.Directory) {
	if d.options.Format == FormatHex {
		return
	}
	for i := range found.Sets {
		set := &found.Sets[i]
		key := filepath.Join(found.Path, set.Name)
		if d.sets[key] || !d.options.Filter.wantsSet(set) {
			continue
		}
		d.sets[key] = true
		s := d.newSequence()
		s.format = FormatPcapng
		s.begins = set.Opened
		for _, f := range set.Segments {
			s.paths = append(s.paths, f.Path)
			d.total.Add(max(sizeOf(f.Path), 0))
		}
		if d.options.Wait != nil {
			s.tail = tailSegments(found.Path, set)
		}
		d.postpone(s)
	}
}

// addFlowLog adds a sequence for the flow log and its archives.
func (d *Dump) addFlowLog(found *layout.Directory) {
	if d.options.Format == FormatPcapng || len(found.FlowLog) == 0 && d.options.Wait == nil {
		return
	}
	s := d.newSequence()
	s.format = FormatHex
	if d.options.Format == FormatAny {
		s.known = newSegmentedWindows(found, d.options.Wait != nil)
	}
	s.times = newLineTimes(&d.options)
	paths := found.FlowLog
	if d.options.Wait == nil {
		paths = s.times.sort(paths)
	}
	for _, path := range paths {
		if layout.ArchivedBefore(path, d.options.Filter.Since) {
			continue
		}
		s.paths = append(s.paths, path)
		d.total.Add(max(sizeOf(path), 0))
	}
	if d.options.Wait != nil {
		s.tail = tailLog(found)
	}
	d.postpone(s)
}
