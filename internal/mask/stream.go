package mask

import (
	"errors"
	"io"
	"strings"
)

const (
	// unitBytes is the size of a value up to which it is masked as a whole: what an
	// object's fields mean for each other is known there. A larger object or array is
	// masked field by field.
	unitBytes = 64 << 10
	// maxString is the size of a string up to which it is masked, bytes. What a longer one
	// holds is replaced.
	maxString = 8 << 20
	readBytes = 32 << 10
)

// errTooLong is that of a number or name which is no such thing.
var errTooLong = errors.New("not valid JSON: a name or number of more than 8 MiB")

// Copy reads a JSON document from src and writes it to dst with its secrets replaced by
// "***": the scalars under names such as "password", apart from true, false and null, and
// whatever in any string looks like a private key, a credential or a token. Structure and
// order of fields stay, numbers stay as they are written; space between them does not.
//
// The memory does not grow with the document, but for strings of up to maxString. Between
// slices of a few kilobytes Copy calls pause, which may be nil. An error of pause ends the
// masking and is returned. Other errors are those of src and dst, and of a document that
// is no JSON or nested more than 1000 deep; the latter never contain its text. After an
// error, what has been written is no document.
func Copy(dst io.Writer, src io.Reader, pause func() error) error {
	c := &copier{m: newMasker(pause), src: src, dst: dst}
	if err := c.value(maxDepth, plain, ""); err != nil {
		return err
	}
	if err := c.space(); err == nil {
		return errSyntax // something follows
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return c.flush(0)
}

// large masks s, which is a JSON document, as Copy does. Its tree would take many times
// its length.
func (m *masker) large(s string, depth int) (masked string, changed bool) {
	var out strings.Builder
	c := &copier{m: m, src: strings.NewReader(s), dst: &out}
	if c.value(depth, plain, "") != nil || c.flush(0) != nil {
		return placeholder, true
	}
	return out.String(), c.changed
}

// copier is a Copy at work.
type copier struct {
	m    *masker
	src  io.Reader
	dst  io.Writer
	buf  []byte // read and not masked yet, from at on
	at   int
	eof  bool
	out  []byte // masked and not written yet
	last string // the string before, in an array of strings

	trees   parser // of the units, one at a time
	changed bool   // something was masked
}

// fill reads more. It returns io.EOF at the end of the document.
func (c *copier) fill() error {
	if c.eof {
		return io.EOF
	}
	if c.m.step(readBytes) {
		return c.m.err
	}
	if c.at > 0 && c.at >= len(c.buf)/2 {
		c.buf = c.buf[:copy(c.buf, c.buf[c.at:])]
		c.at = 0
	}
	begin := len(c.buf)
	if cap(c.buf)-begin < readBytes {
		grown := make([]byte, begin, 2*cap(c.buf)+readBytes)
		copy(grown, c.buf)
		c.buf = grown
	}
	n, err := c.src.Read(c.buf[begin : begin+readBytes])
	c.buf = c.buf[:begin+n]
	if errors.Is(err, io.EOF) {
		c.eof = true
		if n > 0 {
			return nil
		}
	}
	return err
}

// space skips white space. It returns io.EOF at the end.
func (c *copier) space() error {
	for {
		for c.at < len(c.buf) {
			switch c.buf[c.at] {
			case ' ', '\t', '\r', '\n':
				c.at++
			default:
				return nil
			}
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// next returns the next byte that is no white space, without reading it.
func (c *copier) next() (byte, error) {
	if err := c.space(); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, errSyntax
		}
		return 0, err
	}
	return c.buf[c.at], nil
}

// whole returns how long the value is that begins here, and whether it is all in the
// buffer. It looks at most bytes at most.
func (c *copier) whole(most int) (n int, ok bool, err error) {
	depth, inString, i := 0, false, 0
	for {
		b := c.buf[c.at:]
		for ; i < len(b); i++ {
			if i >= most {
				return i, false, nil
			}
			switch ch := b[i]; {
			case inString:
				switch ch {
				case '\\':
					i++
				case '"':
					if inString = false; depth == 0 {
						return i + 1, true, nil
					}
				}
			case ch == '"':
				inString = true
			case ch == '{' || ch == '[':
				depth++
			case ch == '}' || ch == ']':
				if depth--; depth == 0 {
					return i + 1, true, nil
				} else if depth < 0 {
					return i, true, nil
				}
			case depth == 0 && (ch == ',' || ch <= ' '):
				return i, true, nil
			}
		}
		if err := c.fill(); errors.Is(err, io.EOF) {
			return min(i, len(c.buf)-c.at), true, nil
		} else if err != nil {
			return 0, false, err
		}
	}
}

// value masks the value that comes next, whose name has class of.
func (c *copier) value(depth int, of class, name string) error {
	first, err := c.next()
	if err != nil {
		return err
	}
	most := unitBytes
	if first == '"' {
		most = maxString
	}
	n, whole, err := c.whole(most)
	if err != nil {
		return err
	}
	switch {
	case whole:
		return c.unit(n, depth, of, name)
	case first == '"':
		return c.longString()
	case first != '{' && first != '[':
		return errTooLong
	case depth <= 0:
		return errTooDeep
	}
	return c.items(first, depth-1, of)
}

// unit masks the value in the next n bytes.
func (c *copier) unit(n, depth int, of class, name string) error {
	v, err := c.trees.parse(string(c.buf[c.at:c.at+n]), depth)
	defer c.trees.reset()
	if err != nil {
		return err
	}
	c.at += n
	c.changed = c.m.byShape(v, depth, "") || c.changed
	c.changed = c.m.byName(v, of, name) || c.changed
	c.last = ""
	if v.kind == '"' {
		c.last = v.text()
	}
	c.out = appendValue(c.out, v)
	if c.m.step(n) {
		return c.m.err
	}
	return c.flush(readBytes)
}

// longString replaces a string that is too long to be masked.
func (c *copier) longString() error {
	c.changed = true
	escaped := false
	for c.at++; ; {
		for ; c.at < len(c.buf); c.at++ {
			switch ch := c.buf[c.at]; {
			case escaped:
				escaped = false
			case ch == '\\':
				escaped = true
			case ch == '"':
				c.at++
				c.last = ""
				c.out = append(c.out, `"`+placeholder+`"`...)
				return nil
			}
		}
		if err := c.fill(); errors.Is(err, io.EOF) {
			return errSyntax
		} else if err != nil {
			return err
		}
	}
}

// items masks a large object or array. What its fields mean for each other is known from
// those that came before; where that does not suffice it masks.
func (c *copier) items(first byte, depth int, of class) error {
	end := byte('}')
	if first == '[' {
		end = ']'
	}
	c.at++
	c.out = append(c.out, first)
	if b, err := c.next(); err != nil {
		return err
	} else if b == end {
		c.at++
		c.out = append(c.out, end)
		return nil
	}
	var context context
	args := arguments{m: c.m}
	for {
		inner, name := of, ""
		if first == '{' {
			var err error
			if name, err = c.fieldName(depth); err != nil {
				return err
			}
			if !inner.isSecret() {
				inner = context.classOf(c.m, name)
				switch n := strings.ToLower(name); {
				case inner != plain:
				case n == "key" || n == "value" || n == "values":
					inner = c.doubt()
				}
			}
		} else if args.secret {
			inner = secret
		}
		if err := c.value(depth, inner, name); err != nil {
			return err
		}
		if first == '[' {
			args.secret = false
			if c.last != "" && len(c.last) <= maxName && inner != secret {
				v := &node{}
				v.setText(c.last)
				args.mask(v)
			}
		} else {
			context.see(c.m, name, c.last)
		}
		b, err := c.next()
		if err != nil {
			return err
		}
		c.at++
		switch b {
		case ',':
			c.out = append(c.out, ',')
		case end:
			c.out = append(c.out, end)
			c.last = ""
			return nil
		default:
			return errSyntax
		}
	}
}

// doubt returns the class of a field whose meaning depends on fields that have not come
// yet: a string is a secret, an object or array is not.
func (c *copier) doubt() class {
	if b, err := c.next(); err == nil && b == '"' {
		return secret
	}
	return plain
}

// see adds a field of a large object that has been masked.
func (c *context) see(m *masker, name, text string) {
	if n := strings.ToLower(name); text == "" && !strings.Contains(n, "cert") && n != "ca" && n != "crt" {
		return
	}
	v := node{kind: '{', names: make([]node, 1), items: make([]node, 1)}
	v.names[0].setText(name)
	v.items[0].setText(text)
	of := m.contextOf(&v)
	c.tls, c.jwk, c.k8s, c.pair = c.tls || of.tls, c.jwk || of.jwk, c.k8s || of.k8s, max(c.pair, of.pair)
}

// fieldName masks the name that comes next, and its colon.
func (c *copier) fieldName(depth int) (string, error) {
	if b, err := c.next(); err != nil {
		return "", err
	} else if b != '"' {
		return "", errSyntax
	}
	n, whole, err := c.whole(maxString)
	if err != nil {
		return "", err
	}
	if !whole {
		return "", errTooLong
	}
	if err := c.unit(n, depth, plain, ""); err != nil {
		return "", err
	}
	name := c.last
	if b, err := c.next(); err != nil {
		return "", err
	} else if b != ':' {
		return "", errSyntax
	}
	c.at++
	c.out = append(c.out, ':')
	return name, nil
}

// flush writes what is masked when there are at least so many bytes.
func (c *copier) flush(least int) error {
	if len(c.out) < least || len(c.out) == 0 {
		return nil
	}
	_, err := c.dst.Write(c.out)
	c.out = c.out[:0]
	return err
}
