package replay

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

const (
	payloadBlock  = 1 << 20 // bytes of payload that are kept together
	smallestSplit = payloadBlock / 16
	defaultMemory = 64 << 20
	spoolBuffer   = 256 << 10
)

// payloads holds recorded payload: the first of it in memory, the rest in a file
// that has no name. It is filled by one goroutine, then sealed, then read by any.
type payloads struct {
	dir    string // of the file; empty means the system's
	limit  int64  // bytes in memory
	blocks [][]byte
	file   *os.File // nil while memory is enough
	out    *bufio.Writer
	size   int64 // bytes in the file
}

// add copies the beginning of data, and returns its position and how many bytes it
// copied. It does not keep data.
func (p *payloads) add(data []byte) (at int64, n int, err error) {
	if int64(len(p.blocks))*payloadBlock >= p.limit && (len(p.blocks) == 0 || p.available() < len(data)) {
		at, err = p.spool(data)
		return at, len(data), err
	}
	if len(p.blocks) == 0 || p.available() < len(data) && len(data) <= smallestSplit || p.available() == 0 {
		p.blocks = append(p.blocks, make([]byte, 0, payloadBlock))
	}
	last := len(p.blocks) - 1
	block := p.blocks[last]
	n = min(len(data), p.available())
	p.blocks[last] = append(block, data[:n]...)
	return int64(last)*payloadBlock + int64(len(block)), n, nil
}

// available returns how many bytes fit in the last block.
func (p *payloads) available() int {
	last := p.blocks[len(p.blocks)-1]
	return cap(last) - len(last)
}

// spool appends data to the file. Places in it are negative.
func (p *payloads) spool(data []byte) (at int64, err error) {
	if p.file == nil {
		f, err := os.CreateTemp(p.dir, "replay-") // the mode is 0600
		if err != nil {
			return 0, fmt.Errorf("make a file for recorded payload: %w", err)
		}
		// Without its name nobody else can open it, and it ends with the process.
		if err := os.Remove(f.Name()); err != nil {
			return 0, errors.Join(fmt.Errorf("unlink the file for recorded payload: %w", err), f.Close())
		}
		p.file, p.out = f, bufio.NewWriterSize(f, spoolBuffer)
	}
	at = -1 - p.size
	n, err := p.out.Write(data)
	p.size += int64(n)
	if err != nil {
		return 0, fmt.Errorf("keep %d bytes of recorded payload: %w", len(data), err)
	}
	return at, nil
}

// seal ends the filling.
func (p *payloads) seal() error {
	if p.out == nil {
		return nil
	}
	err := p.out.Flush()
	p.out = nil
	if err != nil {
		return fmt.Errorf("keep recorded payload: %w", err)
	}
	return nil
}

// read returns n bytes from at. They are valid until buf is used again, and must
// not be changed.
func (p *payloads) read(at int64, n int, buf *[]byte) ([]byte, error) {
	if at >= 0 {
		block := p.blocks[at/payloadBlock]
		from := int(at % payloadBlock)
		return block[from : from+n : from+n], nil
	}
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	b := (*buf)[:n]
	if _, err := p.file.ReadAt(b, -1-at); err != nil {
		return nil, fmt.Errorf("read %d bytes of recorded payload: %w", n, err)
	}
	return b, nil
}

// close frees the payload. It may be called again.
func (p *payloads) close() error {
	p.blocks, p.out = nil, nil
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	return err
}
