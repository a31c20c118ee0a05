package dump

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// decoder is what both formats' decoders are: they go through one stream after
// the other and keep what they know of connections.
type decoder interface {
	Next() (*record.Record, error)
	Reset(src io.Reader, file string)
}

// file is an open file as a decoder reads it: decompressed, its bytes counted,
// and, where it is still being written, without an end.
type file struct {
	f    *os.File
	read *atomic.Int64 // bytes of the file, for progress
	tail bool          // the end of what is there is not the end of the file
}

// Read implements io.Reader.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.f.Read(p)
	f.read.Add(int64(n))
	if f.tail && n == 0 && errors.Is(err, io.EOF) {
		return 0, record.ErrNoMoreYet
	}
	return n, err
}

// openFile opens path, or the compressed form that the recorder has replaced it
// by in the meantime. It does not wait for somebody to write to a named pipe.
func openFile(path string, read *atomic.Int64) (*file, error) {
	f, err := openfile.OpenInput(path)
	if errors.Is(err, os.ErrNotExist) && layout.TrimGzip(path) == path {
		if zipped, errZipped := openfile.OpenInput(path + layout.GzipExtension); errZipped == nil {
			f, err = zipped, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &file{f: f, read: read}, nil
}

// sniff returns the stream's content, decompressed where it is gzip, and its
// first bytes, which the content still has.
func sniff(r io.Reader) (content io.Reader, head []byte, err error) {
	r, head = peek(r)
	if len(head) < 2 || head[0] != 0x1f || head[1] != 0x8b {
		return r, head, unsupported(head)
	}
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	content, head = peek(zip)
	return content, head, unsupported(head)
}

// others are the first bytes of files that people may give, and what to do with them.
var others = [...]struct{ magic, what string }{
	{"\xa1\xb2\xc3\xd4", classic}, {"\xd4\xc3\xb2\xa1", classic}, // microseconds
	{"\xa1\xb2\x3c\x4d", classic}, {"\x4d\x3c\xb2\xa1", classic}, // nanoseconds
	{"\xa1\xb2\xcd\x34", classic}, {"\x34\xcd\xb2\xa1", classic}, // Kuznetzov's
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd: decompress it with zstd -d"},
	{"\x04\x22\x4d\x18", "it is compressed with lz4: decompress it with lz4 -d"},
	{"\xfd7zXZ\x00", "it is compressed with xz: decompress it with xz -d"},
	{"BZh", "it is compressed with bzip2: decompress it with bzip2 -d"},
	{"\x1f\x9d", "it is compressed with compress: decompress it with uncompress"},
	{"\x1f\x8b", "it is compressed with gzip more than once: decompress it with gzip -d"},
	{"PK\x03\x04", "it is a zip archive: unpack it"},
	{"snoop\x00", "it is a snoop file; the recorder's captures are pcapng"},
}

const classic = "it is a classic pcap file, which has no comments that identify connections: read the pcapng file that it was made from"

// unsupported returns an error that names a file by its first bytes, where it is neither
// lines nor pcapng.
func unsupported(head []byte) error {
	for _, o := range others {
		if strings.HasPrefix(string(head), o.magic) {
			return fmt.Errorf("%w: %s", record.ErrUnsupported, o.what)
		}
	}
	return nil
}

// peek returns up to the first pcapng.HeadLength bytes of r, and a reader of all of
// r. What keeps it from reading them, the next Read of that reader returns.
func peek(r io.Reader) (io.Reader, []byte) {
	head := make([]byte, pcapng.HeadLength)
	n, _ := io.ReadFull(r, head)
	return io.MultiReader(bytes.NewReader(head[:n]), r), head[:n]
}

// isPcapng reports whether a file with that name and first bytes is a pcapng file.
func isPcapng(name string, head []byte) bool {
	return strings.HasSuffix(layout.TrimGzip(name), layout.SegmentExtension) || pcapng.IsSection(head)
}
