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

// chain reads files that continue one another, such as a rolled log or the
// segments of a capture, as one stream of records.
type chain struct {
	options *Options
	read    *atomic.Int64    // bytes of files, for progress
	begins  time.Time        // no record is earlier, where it is not zero
	format  Format           // what the names say; FormatAny: look into each file
	known   *capturedWindows // nil, or whose records another chain gives

	paths []string // not opened yet
	tail  growth   // nil, or asked for more once all paths are read

	open    *file
	decoder decoder
	hex     *hexlog.Decoder
	packets *pcapng.Decoder

	head   *record.Record // what next has given, until the next call
	serial int            // order among chains, for records of the same time
}

// next returns the chain's next record that the options want; see Reader. It may
// also return record.ErrNoMoreYet.
func (c *chain) next() (*record.Record, error) {
	for {
		if c.decoder == nil {
			if err := c.advance(); err != nil {
				return nil, err
			}
			continue
		}
		rec, err := c.decoder.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.closeFile()
			continue
		case errors.Is(err, record.ErrNoMoreYet):
			if c.grown() {
				continue
			}
			return nil, record.ErrNoMoreYet
		case err != nil:
			return nil, err
		}
		if !c.options.Filter.Match(rec) || c.known != nil && c.known.contain(rec) {
			continue
		}
		return rec, nil
	}
}

// advance opens the next file.
func (c *chain) advance() error {
	if len(c.paths) == 0 && c.tail != nil {
		more, keep := c.tail(nil)
		if keep {
			return record.ErrNoMoreYet
		}
		c.paths = more
	}
	if len(c.paths) == 0 {
		return io.EOF
	}
	path := c.paths[0]
	c.paths = c.paths[1:]
	f, err := openFile(path, c.read)
	if err != nil {
		return &record.DamageError{File: path, Err: err}
	}
	f.tail = c.tail != nil && len(c.paths) == 0 && layout.MayGrow(path)
	c.open = f
	if err := c.begin(f, path); err != nil {
		c.closeFile()
		return &record.DamageError{File: path, Err: err}
	}
	return nil
}

// begin sets the decoder that fits src.
func (c *chain) begin(src io.Reader, path string) error {
	format := c.format
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
		if c.packets == nil {
			c.packets = pcapng.NewDecoder()
		}
		c.packets.Reset(src, path)
		c.decoder = c.packets
		return nil
	}
	if c.hex == nil {
		c.hex = hexlog.NewDecoder(c.options.zone())
	}
	c.hex.Reset(src, path)
	c.decoder = c.hex
	return nil
}

// grown tells whether there is more to read in a file that had no more, because
// others have taken its place.
func (c *chain) grown() bool {
	if !c.open.tail {
		return false
	}
	more, keep := c.tail(c.open.f)
	if keep {
		return false
	}
	c.paths = append(c.paths, more...)
	// What was written between the last read and the roll is read now; then the
	// file ends.
	c.open.tail = false
	return true
}

func (c *chain) closeFile() {
	if c.open != nil {
		// A file that was only read has nothing to lose.
		_ = c.open.f.Close()
		c.open = nil
	}
	c.decoder = nil
}
