package dump

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Format is a format of files with records.
type Format string

// The formats that can be asked for.
const (
	FormatAny    Format = ""       // whatever is there; of a window that is there twice, one
	FormatHex    Format = "hex"    // hex and hex_meta lines
	FormatPcapng Format = "pcapng" // captures
)

// Options say what is read, and how.
type Options struct {
	Filter Filter
	Format Format
	Zone   *time.Location // of the times in hex lines; nil means the local one
	Stdin  io.Reader      // what the path "-" stands for

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

// Dump reads the records of one or more directories and files in order of time.
// The records of one connection keep the order in which they were written. It
// implements Reader.
type Dump struct {
	options  Options
	paths    []string
	chains   chainHeap
	sleeping []*chain        // not opened: their records are later than all others'
	waiting  []*chain        // at the end of what is there
	last     *chain          // whose record Next has given
	damage   []error         // found while looking for files
	names    map[string]bool // captures that have a chain
	serial   int
	read     atomic.Int64
	total    int64
}

var _ Reader = (*Dump)(nil)

// ErrNoDump says that a directory holds no file of the recorder.
var ErrNoDump = errors.New("no dump files here")

// Open finds the files at paths, each a directory, a file or "-" for standard
// input. Close releases what it returns.
func Open(paths []string, o Options) (*Dump, error) {
	d := &Dump{options: o, paths: paths, names: map[string]bool{}}
	for _, path := range paths {
		if err := d.add(path); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

func (d *Dump) add(path string) error {
	if path == "-" {
		if d.options.Stdin == nil {
			return errors.New("read -: no standard input")
		}
		c := d.chain()
		if err := c.begin(d.options.Stdin, "-"); err != nil {
			return &DamageError{File: "-", Err: err}
		}
		d.sleeping = append(d.sleeping, c)
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		c := d.chain()
		c.paths = []string{path}
		d.total += info.Size()
		if d.options.Wait != nil {
			c.tail = followFile(path)
		}
		d.sleeping = append(d.sleeping, c)
		return nil
	}
	l, err := list(path)
	if err != nil {
		return err
	}
	if len(l.flowLog) == 0 && len(l.captures) == 0 && !l.hasIndex && d.options.Wait == nil {
		return fmt.Errorf("%s: %w", path, ErrNoDump)
	}
	d.addCaptures(l)
	d.addFlowLog(l)
	if d.options.Format != FormatHex {
		for _, name := range l.missingFiles(d.options.Filter.Window) {
			d.damage = append(d.damage, &DamageError{File: name, Err: ErrMissing})
		}
	}
	return nil
}

func (d *Dump) chain() *chain {
	d.serial++
	return &chain{options: &d.options, read: &d.read, format: d.options.Format, serial: d.serial}
}

// addCaptures adds a chain for each capture that has none yet.
func (d *Dump) addCaptures(l *listing) {
	if d.options.Format == FormatHex {
		return
	}
	for i := range l.captures {
		capture := &l.captures[i]
		key := filepath.Join(l.dir, capture.name)
		late := !d.options.Filter.Until.IsZero() && !capture.opened.Before(d.options.Filter.Until)
		if d.names[key] || late || !d.options.wantsWindow(capture.window) {
			continue
		}
		d.names[key] = true
		c := d.chain()
		c.format = FormatPcapng
		c.begins = capture.opened
		for _, s := range capture.segments {
			c.paths = append(c.paths, s.path)
			d.total += sizeOf(s.path)
		}
		if d.options.Wait != nil {
			c.tail = followCapture(l.dir, capture)
		}
		d.sleeping = append(d.sleeping, c)
	}
}

// wantsWindow tells whether records of a window that begins with prefix can be
// wanted.
func (o *Options) wantsWindow(prefix string) bool {
	n := min(len(prefix), len(o.Filter.Window))
	return prefix[:n] == o.Filter.Window[:n]
}

// addFlowLog adds a chain for the flow log.
func (d *Dump) addFlowLog(l *listing) {
	if d.options.Format == FormatPcapng || len(l.flowLog) == 0 && d.options.Wait == nil {
		return
	}
	c := d.chain()
	c.format = FormatHex
	if d.options.Format == FormatAny {
		c.known = newCapturedWindows(l, d.options.Wait != nil)
	}
	for _, path := range l.flowLog {
		if rolledBefore(path, d.options.Filter.Since) {
			continue
		}
		c.paths = append(c.paths, path)
		d.total += sizeOf(path)
	}
	if d.options.Wait != nil {
		c.tail = followLog(l)
	}
	d.sleeping = append(d.sleeping, c)
}

// Next implements Reader.
func (d *Dump) Next() (*Record, error) {
	for {
		if len(d.damage) > 0 {
			err := d.damage[0]
			d.damage = d.damage[1:]
			return nil, err
		}
		if c := d.last; c != nil {
			d.last = nil
			d.pull(c)
			continue
		}
		if d.wake() {
			continue
		}
		if len(d.chains) > 0 {
			c := heap.Pop(&d.chains).(*chain)
			d.last = c
			return c.head, nil
		}
		if d.options.Wait == nil || len(d.waiting) == 0 && len(d.paths) == 0 {
			return nil, io.EOF
		}
		if err := d.wait(); err != nil {
			return nil, err
		}
	}
}

// pull reads a chain's next record and puts the chain where it belongs.
func (d *Dump) pull(c *chain) {
	rec, err := c.next()
	if err == nil {
		c.head = rec
		heap.Push(&d.chains, c)
		return
	}
	var damage *DamageError
	switch {
	case errors.Is(err, errIdle):
		d.waiting = append(d.waiting, c)
	case err == io.EOF:
		c.closeFile()
	case errors.As(err, &damage):
		d.damage = append(d.damage, err)
		d.last = c // pulled again once the damage is told
	default:
		c.closeFile()
		d.damage = append(d.damage, err)
	}
}

// wake pulls one of the chains whose records may be the next ones.
func (d *Dump) wake() bool {
	for i, c := range d.sleeping {
		if len(d.chains) > 0 && c.begins.After(d.chains[0].head.Time) {
			continue
		}
		d.sleeping = append(d.sleeping[:i], d.sleeping[i+1:]...)
		d.pull(c)
		return true
	}
	return false
}

// wait waits for more to read and looks for new files.
func (d *Dump) wait() error {
	if err := d.options.Wait(); err != nil {
		return err
	}
	d.sleeping = append(d.sleeping, d.waiting...)
	d.waiting = nil
	for _, path := range d.paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		l, err := list(path)
		if err != nil {
			return err
		}
		d.addCaptures(l)
	}
	return nil
}

// Close implements Reader.
func (d *Dump) Close() error {
	for _, chains := range [][]*chain{d.chains, d.sleeping, d.waiting, {d.last}} {
		for _, c := range chains {
			if c != nil {
				c.closeFile()
			}
		}
	}
	d.chains, d.sleeping, d.waiting, d.last = nil, nil, nil, nil
	return nil
}

// Progress tells how many bytes of files have been read, and how many there are.
// Standard input counts as nothing. It may be called from any goroutine.
func (d *Dump) Progress() (read, total int64) { return d.read.Load(), d.total }

// chainHeap orders chains by the time of their records, and chains with records
// of the same time by their serial numbers.
type chainHeap []*chain

func (h chainHeap) Len() int { return len(h) }
func (h chainHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if n := a.head.Time.Compare(b.head.Time); n != 0 {
		return n < 0
	}
	return a.serial < b.serial
}
func (h chainHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *chainHeap) Push(x any)   { *h = append(*h, x.(*chain)) }
func (h *chainHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}
