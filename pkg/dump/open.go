package dump

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
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
	sleeping []*chain        // not opened yet, by the earliest time of their records
	waiting  []*chain        // at the end of what is there
	last     *chain          // whose record Next has given, the first of chains
	damaged  *chain          // that goes on behind the damage that is being told
	damage   []error         // found while looking for files
	names    map[string]bool // captures that have a chain
	serial   int
	read     atomic.Int64
	total    atomic.Int64
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
			return &record.DamageError{File: "-", Err: err}
		}
		d.sleep(c)
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		c := d.chain()
		c.paths = []string{path}
		d.total.Add(info.Size())
		if d.options.Wait != nil {
			c.tail = followFile(path)
		}
		d.sleep(c)
		return nil
	}
	l, err := layout.Scan(path)
	if err != nil {
		return err
	}
	if len(l.FlowLog) == 0 && len(l.Sets) == 0 && !l.HasIndex && d.options.Wait == nil {
		return fmt.Errorf("%s: %w", path, ErrNoDump)
	}
	d.addCaptures(l)
	d.addFlowLog(l)
	if d.options.Format != FormatHex {
		for _, name := range missingFiles(l, &d.options.Filter) {
			d.damage = append(d.damage, &record.DamageError{File: name, Err: record.ErrMissing})
		}
	}
	return nil
}

func (d *Dump) chain() *chain {
	d.serial++
	return &chain{options: &d.options, read: &d.read, format: d.options.Format, serial: d.serial}
}

// addCaptures adds a chain for each capture that has none yet.
func (d *Dump) addCaptures(l *layout.Directory) {
	if d.options.Format == FormatHex {
		return
	}
	for i := range l.Sets {
		capture := &l.Sets[i]
		key := filepath.Join(l.Path, capture.Name)
		if d.names[key] || !d.options.Filter.wantsCapture(capture) {
			continue
		}
		d.names[key] = true
		c := d.chain()
		c.format = FormatPcapng
		c.begins = capture.Opened
		for _, s := range capture.Segments {
			c.paths = append(c.paths, s.Path)
			d.total.Add(max(sizeOf(s.Path), 0))
		}
		if d.options.Wait != nil {
			c.tail = followCapture(l.Path, capture)
		}
		d.sleep(c)
	}
}

// addFlowLog adds a chain for the flow log.
func (d *Dump) addFlowLog(l *layout.Directory) {
	if d.options.Format == FormatPcapng || len(l.FlowLog) == 0 && d.options.Wait == nil {
		return
	}
	c := d.chain()
	c.format = FormatHex
	if d.options.Format == FormatAny {
		c.known = newCapturedWindows(l, d.options.Wait != nil)
	}
	for _, path := range l.FlowLog {
		if layout.ArchivedBefore(path, d.options.Filter.Since) {
			continue
		}
		c.paths = append(c.paths, path)
		d.total.Add(max(sizeOf(path), 0))
	}
	if d.options.Wait != nil {
		c.tail = followLog(l)
	}
	d.sleep(c)
}

// Next implements Reader.
func (d *Dump) Next() (*record.Record, error) {
	for {
		switch c := d.last; {
		case len(d.damage) > 0:
			err := d.damage[0]
			d.damage = d.damage[1:]
			return nil, err
		case c != nil:
			d.last = nil
			if d.pull(c) {
				heap.Fix(&d.chains, 0)
			} else {
				heap.Pop(&d.chains)
			}
		case d.damaged != nil:
			c, d.damaged = d.damaged, nil
			d.take(c)
		case len(d.sleeping) > 0 && (len(d.chains) == 0 || !d.sleeping[0].begins.After(d.chains[0].head.Time)):
			c, d.sleeping = d.sleeping[0], d.sleeping[1:]
			d.take(c)
		case len(d.chains) > 0:
			d.last = d.chains[0]
			return d.last.head, nil
		case d.options.Wait == nil:
			return nil, io.EOF
		default:
			if err := d.wait(); err != nil {
				return nil, err
			}
		}
	}
}

// take puts a chain among those that have a record, if it has one.
func (d *Dump) take(c *chain) {
	if d.pull(c) {
		heap.Push(&d.chains, c)
	}
}

// pull reads a chain's next record. When there is none it puts the chain where it
// belongs, and is false.
func (d *Dump) pull(c *chain) bool {
	rec, err := c.next()
	if err == nil {
		c.head = rec
		return true
	}
	var damage *record.DamageError
	switch {
	case errors.Is(err, record.ErrNoMoreYet):
		d.waiting = append(d.waiting, c)
	case errors.Is(err, io.EOF):
		c.closeFile()
	case errors.As(err, &damage):
		d.damage = append(d.damage, err)
		d.damaged = c
	default:
		c.closeFile()
		d.damage = append(d.damage, err)
	}
	return false
}

// sleep adds a chain that is opened when its records may be the next ones.
func (d *Dump) sleep(c *chain) {
	at, _ := slices.BinarySearchFunc(d.sleeping, c, func(a, b *chain) int {
		if n := a.begins.Compare(b.begins); n != 0 {
			return n
		}
		return a.serial - b.serial
	})
	d.sleeping = slices.Insert(d.sleeping, at, c)
}

// wait waits for more to read and looks for new files.
func (d *Dump) wait() error {
	if err := d.options.Wait(); err != nil {
		return err
	}
	waiting := d.waiting
	d.waiting = nil
	for _, c := range waiting {
		d.sleep(c)
	}
	for _, path := range d.paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		l, err := layout.Scan(path)
		if err != nil {
			return err
		}
		d.addCaptures(l)
	}
	return nil
}

// Close implements Reader.
func (d *Dump) Close() error {
	for _, chains := range [][]*chain{d.chains, d.sleeping, d.waiting, {d.damaged}} {
		for _, c := range chains {
			if c != nil {
				c.closeFile()
			}
		}
	}
	d.chains, d.sleeping, d.waiting, d.last, d.damaged = nil, nil, nil, nil, nil
	d.options.Wait = nil
	return nil
}

// Progress tells how many bytes of files have been read, and how many there are.
// Standard input counts as nothing. It may be called from any goroutine.
func (d *Dump) Progress() (read, total int64) { return d.read.Load(), d.total.Load() }

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
