// Package protomsg turns protobuf messages into text: into JSON where their descriptors
// are known, into a tree of fields where they are not. The commands that show gRPC calls
// use it.
package protomsg

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth is how deep messages in messages are shown.
const maxDepth = 32

// errNone says that bytes are no message.
var errNone = errors.New("not a protobuf message")

// Tree returns a message as a tree of its fields, a line each: the number, and the value
// as what it most likely is. Bytes are a string where they are text that can be read, else a message
// if they are one. Text that begins with an empty line is a message if it can be. The error says that data is no message.
func Tree(data []byte) (string, error) {
	var b strings.Builder
	if err := appendTree(&b, data, 0); err != nil {
		return "", err
	}
	return b.String(), nil
}

func appendTree(b *strings.Builder, data []byte, depth int) error {
	indent := strings.Repeat("  ", depth)
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errNone
		}
		data = data[n:]
		var text string
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(data)
			text = varint(v)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			text = fmt.Sprintf("0x%08x", v)
		case protowire.Fixed64Type:
			var v uint64
			v, n = protowire.ConsumeFixed64(data)
			text = fmt.Sprintf("0x%016x", v)
		case protowire.BytesType:
			var v []byte
			v, n = protowire.ConsumeBytes(data)
			if n >= 0 {
				if inner, ok := nested(v, depth+1); ok {
					fmt.Fprintf(b, "%s%d {\n%s%s}\n", indent, number, inner, indent)
					data = data[n:]
					continue
				}
				text = bytesText(v)
			}
		case protowire.StartGroupType:
			var v []byte
			v, n = protowire.ConsumeGroup(number, data)
			if n >= 0 && depth < maxDepth {
				fmt.Fprintf(b, "%s%d group {\n", indent, number)
				if err := appendTree(b, v, depth+1); err != nil {
					return err
				}
				fmt.Fprintf(b, "%s}\n", indent)
				data = data[n:]
				continue
			}
			text = "group"
		default:
			return errNone
		}
		if n < 0 {
			return errNone
		}
		fmt.Fprintf(b, "%s%d: %s\n", indent, number, text)
		data = data[n:]
	}
	return nil
}

// nested returns the tree of a message in a message, if v is more likely one than a
// string.
func nested(v []byte, depth int) (string, bool) {
	if len(v) == 0 || depth > maxDepth || isText(v) && !beginsAsMessage(v) {
		return "", false
	}
	var b strings.Builder
	if appendTree(&b, v, depth) != nil {
		return "", false
	}
	return b.String(), true
}

func varint(v uint64) string {
	text := strconv.FormatUint(v, 10)
	if signed := int64(v); signed < 0 { //nolint:gosec // a negative number has the highest bit
		return fmt.Sprintf("%d (or %s)", signed, text)
	}
	return text
}

func bytesText(v []byte) string {
	if isText(v) {
		return strconv.Quote(string(v))
	}
	const most = 64
	if len(v) > most {
		return fmt.Sprintf("%d bytes %x…", len(v), v[:most])
	}
	return fmt.Sprintf("%d bytes %x", len(v), v)
}

// beginsAsMessage reports whether v begins with the tag of field 1 as bytes, or as a fixed number: these are also
// characters of text. Their length may be one as well: 36 bytes, as identifiers often have, are a dollar sign.
func beginsAsMessage(v []byte) bool { return v[0] == '\n' || v[0] == '\t' || v[0] == '\r' }

// isText reports whether v is text that people can read.
func isText(v []byte) bool {
	return utf8.Valid(v) && bytes.IndexFunc(v, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' }) < 0
}
