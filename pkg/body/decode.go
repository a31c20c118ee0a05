package body

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The reasons why a body cannot be decoded, beside that its bytes are not what its coding says.
var (
	ErrCoding = errors.New("no decoder for the coding")
	ErrBomb   = errors.New("the decoded body is too large")
)

// Limits bound the decoding of a body. A field that is 0 means its default.
type Limits struct {
	// Size is how many bytes a body may have when it is decoded; 32 MiB.
	Size int64
	// Ratio is how many times as large as the encoded bytes that were read so far each step
	// of the decoding may be; 200. It does not matter below RatioFrom.
	Ratio int64
	// RatioFrom is how many bytes a decoded body has before Ratio matters; 8 MiB.
	RatioFrom int64
	// Total is how many bytes all steps of the decoding make together; 4 × Size.
	Total int64
	// Codings is how many codings a body may have; 5.
	Codings int
}

func (l Limits) withDefaults() Limits {
	set := func(field *int64, value int64) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.Size, 32<<20)
	set(&l.Ratio, 200)
	set(&l.RatioFrom, 8<<20)
	set(&l.Total, 4*l.Size)
	if l.Codings == 0 {
		l.Codings = 5
	}
	return l
}

// Names returns the names of codings in the values of header fields such as
// Content-Encoding, in the order in which they were applied. For a message with both, the
// values of Content-Encoding come first, then those of Transfer-Encoding.
func Names(values ...string) []string {
	var all []string
	for _, value := range values {
		for _, name := range strings.Split(value, ",") {
			name, _, _ = strings.Cut(name, ";")
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				all = append(all, name)
			}
		}
	}
	return all
}

// Decode returns the body that was encoded in r with the codings of that names, the first
// of which was applied first. The error says why the body is not whole: errors.Is reports
// ErrCoding and ErrBomb, and io.ErrUnexpectedEOF where bytes are missing at the end. What
// was decoded before that is returned too. The caller owns the result.
func Decode(r io.Reader, codings Codings, limits Limits, names ...string) ([]byte, error) {
	l := limits.withDefaults()
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" || name == "identity" })
	if len(names) > l.Codings {
		return nil, fmt.Errorf("%w: it has %d codings; at most %d are decoded", ErrBomb, len(names), l.Codings)
	}
	t := &total{left: l.Total}
	top := &counter{r: r, limits: l, total: t}
	for _, name := range slices.Backward(names) {
		open, ok := codings[name]
		if !ok {
			return nil, fmt.Errorf("%w %q", ErrCoding, name)
		}
		buffered := bufio.NewReader(top)
		if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
			return nil, nil // no bytes are a body of no bytes, whatever its codings
		} else if err != nil {
			return nil, err
		}
		reader, err := open(buffered)
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, atEnd(err))
		}
		defer reader.Close()
		top = &counter{r: reader, limits: l, total: t, below: top, name: name}
	}
	decoded, err := io.ReadAll(io.LimitReader(top, l.Size+1))
	switch {
	case int64(len(decoded)) > l.Size:
		return decoded[:l.Size], fmt.Errorf("%w: it has more than %d bytes", ErrBomb, l.Size)
	case err != nil:
		return decoded, err
	}
	return decoded, nil
}

// atEnd makes of the end of the input, where there should be more, an error that says so.
func atEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// total is how much all steps of a decoding may still make.
type total struct{ left int64 }

// counter counts what a step of the decoding makes, and compares it with what it read.
type counter struct {
	r      io.Reader
	limits Limits
	total  *total
	below  *counter // where r reads from; nil for the encoded bytes
	name   string   // of the coding
	count  int64
	failed error
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.r.Read(p)
	c.count += int64(n)
	if err != nil && !errors.Is(err, io.EOF) && c.below != nil && c.below.failed == nil {
		err = fmt.Errorf("decode %s: %w", c.name, err)
	}
	if c.below != nil {
		c.total.left -= int64(n)
		switch {
		case c.total.left < 0:
			err = fmt.Errorf("%w: its codings make more than %d bytes", ErrBomb, c.limits.Total)
		case c.count > c.limits.RatioFrom && c.count/c.limits.Ratio > c.below.count:
			err = fmt.Errorf("%w: %s makes more than %d times as many bytes as there are", ErrBomb, c.name, c.limits.Ratio)
		}
	}
	c.failed = err
	return n, err
}
