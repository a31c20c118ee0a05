package har

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// objects writes JSON objects inside one another, whose last fields may be long.
type objects struct {
	w   io.Writer
	err error // the first one of w
	buf bytes.Buffer
}

// begin writes the object of a struct without its last brace. With a key it is the next
// field of the object around it.
func (o *objects) begin(key string, v any) {
	if key != "" {
		o.raw(`,"` + key + `":`)
	}
	text := o.marshal(v)
	o.write(text[:len(text)-1])
}

// end ends the object that began last.
func (o *objects) end() { o.raw("}") }

// marshal returns v as JSON, which is valid until the next call.
func (o *objects) marshal(v any) []byte {
	o.buf.Reset()
	e := json.NewEncoder(&o.buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		o.err = errors.Join(o.err, err)
		return []byte("{}")
	}
	return bytes.TrimSuffix(o.buf.Bytes(), []byte("\n"))
}

// string writes text as a string, in pieces.
func (o *objects) string(text []byte) {
	const piece = 64 << 10
	o.raw(`"`)
	for len(text) > 0 {
		n := min(len(text), piece)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		quoted := o.marshal(string(text[:n]))
		o.write(quoted[1 : len(quoted)-1])
		text = text[n:]
	}
	o.raw(`"`)
}

func (o *objects) raw(text string) { o.write([]byte(text)) }

func (o *objects) write(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
}

// Write implements io.Writer. It keeps the error.
func (o *objects) Write(b []byte) (int, error) {
	o.write(b)
	return len(b), o.err
}
