package persistence

import (
	"fmt"
	"runtime"
	"slices"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// Format is a file format of the flow records.
type Format string

// The formats. Hex and HexMeta share a file and exclude each other.
const (
	FormatHex     Format = "hex"
	FormatHexMeta Format = "hex_meta"
	FormatPcapng  Format = "pcapng"
)

// Config says where and how records are kept. It is the process's: all listeners
// share one.
type Config struct {
	Dir      string   // the dump directory, an absolute path
	Formats  []Format // at least one
	Roll     Roll
	MaxTotal int64   // bytes that all files of Dir may take together; 0 means no limit
	MinFree  MinFree // free space of the file system below which nothing is recorded
	Calls    bool    // the calls of a window are counted after its end

	BufferSize int64  // bytes of all shards' batches together
	Workers    int    // shards and workers; 0 means one per processor
	Spool      string // where the batches live: SpoolAuto, SpoolOff or a directory
}

// Values of Config.Spool other than a directory.
const (
	SpoolAuto = "auto" // under /dev/shm where there is room, otherwise plain memory
	SpoolOff  = "off"  // plain memory
)

// Limits and defaults of Config.
const (
	MinBufferSize     = 64 << 10
	maxBufferSize     = 64 << 30
	DefaultBufferSize = 64 << 20
	maxWorkers        = 256
	DefaultMaxTotal   = 10 << 30
	minMaxTotal       = 1 << 20
)

// DefaultConfig is what a configuration block that says nothing means, but for
// the directory and the rolling, which depend on the host.
func DefaultConfig() Config {
	return Config{
		Formats:    []Format{FormatHex},
		MaxTotal:   DefaultMaxTotal,
		MinFree:    MinFree{Percent: 5},
		BufferSize: DefaultBufferSize,
		Spool:      SpoolAuto,
	}
}

// Equal reports whether c and o ask for the same.
func (c Config) Equal(o Config) bool {
	return c.Dir == o.Dir && slices.Equal(c.Formats, o.Formats) && c.Roll == o.Roll &&
		c.MaxTotal == o.MaxTotal && c.MinFree == o.MinFree && c.Calls == o.Calls &&
		c.BufferSize == o.BufferSize && c.Workers == o.Workers && c.Spool == o.Spool
}

// Has reports whether f is among the formats.
func (c Config) Has(f Format) bool { return slices.Contains(c.Formats, f) }

// textFormat returns the format of the flow log, or "" when there is none.
func (c Config) textFormat() Format {
	for _, f := range c.Formats {
		if f != FormatPcapng {
			return f
		}
	}
	return ""
}

// Sizes of a worker's memory, in bytes.
const (
	minBatch   = 16 << 10
	minEncoded = 16 << 10
	maxRecord  = 1 << 20 // a longer read or write is kept as several records
)

// sizes divide the buffer among the workers. Everything together stays below
// 1.25 times BufferSize.
type sizes struct {
	buffer.Geometry
	encoded int // bytes of memory for encoded text or blocks of one format
}

// sizes returns how c divides the buffer.
func (c Config) sizes() sizes {
	workers := c.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	encoded := max(minEncoded, min(c.BufferSize/8, 4*maxRecord)) &^ (buffer.PageSize - 1)
	// What is above BufferSize is for one encoder and Go's heap.
	formats := int64(len(c.Formats))
	batches := min(c.BufferSize-(formats-1)*encoded, c.BufferSize/4*5-formats*encoded)
	var l sizes
	l.Shards = max(1, int(min(int64(workers), batches/(2*minBatch))))
	l.Batch = int(batches) / (2 * l.Shards) &^ (buffer.PageSize - 1)
	l.encoded = int(encoded)
	// Hex text needs three bytes a byte and a line's fields; a part of a block may
	// be in the memory already. A batch has room for more than one record.
	l.Record = min(maxRecord, (l.encoded-buffer.PageSize-2*logdir.MaxFields)/3, l.Batch/2)
	if c.MaxTotal > 0 {
		l.Record = int(min(int64(l.Record), c.MaxTotal/32)) // as text it fits into a log
	}
	l.Piece = l.Record
	if l.InPlace = len(c.Formats) == 1 && c.Has(FormatPcapng); l.InPlace {
		l.Piece = min(l.Piece, pcapng.MaxSegment)
	}
	return l
}

// rolling is how files are rolled: as Roll says, and small enough that retention
// always finds some that are not being written.
func (c Config) rolling() Roll {
	r := c.Roll
	if limit := c.MaxTotal / 8; limit > 0 && (r.Size == 0 || r.Size > limit) {
		r.Size = limit
	}
	return r
}

// Validate returns every fault at once, as *model.FieldError values that name fields
// of Config.
func (c Config) Validate() []error {
	var errs []error
	bad := func(field string, value any, valid string) {
		errs = append(errs, &model.FieldError{Field: field, Value: value, Valid: valid})
	}
	seen := map[Format]bool{}
	for _, f := range c.Formats {
		switch {
		case f != FormatHex && f != FormatHexMeta && f != FormatPcapng:
			bad("Formats", string(f), "hex, hex_meta, pcapng")
		case seen[f]:
			bad("Formats", string(f), "each format once")
		}
		seen[f] = true
	}
	if len(c.Formats) == 0 {
		bad("Formats", "[]", "one or more of hex, hex_meta, pcapng")
	}
	if seen[FormatHex] && seen[FormatHexMeta] {
		bad("Formats", "hex, hex_meta", "one of the two, because they share a file")
	}
	if c.Calls && !seen[FormatHexMeta] && !seen[FormatPcapng] {
		bad("Calls", "on", "off, because the files do not say which bytes are of which connection; on with hex_meta or pcapng")
	}
	if c.MaxTotal < 0 || c.MaxTotal > 0 && c.MaxTotal < minMaxTotal {
		bad("MaxTotal", c.MaxTotal, "0 (no limit), or 1MiB at least")
	}
	if c.BufferSize < MinBufferSize || c.BufferSize > maxBufferSize {
		bad("BufferSize", c.BufferSize, "64KiB … 64GiB")
	}
	if c.Workers < 0 || c.Workers > maxWorkers {
		bad("Workers", c.Workers, fmt.Sprintf("0 (one per processor) … %d", maxWorkers))
	}
	return errs
}
