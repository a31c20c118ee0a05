package kafka

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// header is that of a request, without its tags.
type header struct {
	length  uint64 // of the message, with the four bytes that say it
	key     int16
	version int16
	id      uint32
	client  []byte // in the data
}

// Limits of a header.
const (
	maxKey     = 200 // there may be APIs that are newer than the table, but not that many
	maxVersion = 60
	maxClient  = 1 << 10
)

// parseHeader returns the header of a request that data begins with, and its length.
func parseHeader(data []byte) (h header, n int, v parse.Verdict) {
	const fixed = 4 + 2 + 2 + 4
	if len(data) < 8 {
		// What is there must fit.
		if len(data) > 0 && data[0] > maxFrame>>24 || len(data) > 5 && (data[4] != 0 || data[5] > maxKey) || len(data) > 6 && data[6] != 0 {
			return h, 0, parse.No
		}
		return h, 0, parse.Maybe
	}
	length := binary.BigEndian.Uint32(data)
	h.length = 4 + uint64(length)
	h.key, h.version = int16(binary.BigEndian.Uint16(data[4:])), int16(binary.BigEndian.Uint16(data[6:]))
	a := apiOf(h.key)
	switch {
	case length < 8 || length > maxFrame, h.key < 0 || h.key > maxKey, h.version < 0 || h.version > maxVersion:
		return h, 0, parse.No
	case a != nil && h.version > a.max+8:
		return h, 0, parse.No
	}
	const controlledShutdown = 7
	if h.key == controlledShutdown && h.version == 0 {
		if len(data) < fixed {
			return h, 0, parse.Maybe
		}
		h.id = binary.BigEndian.Uint32(data[8:])
		return h, fixed, parse.Yes
	}
	if length < fixed+2-4 {
		return h, 0, parse.No
	}
	if len(data) < fixed+2 {
		return h, 0, parse.Maybe
	}
	h.id = binary.BigEndian.Uint32(data[8:])
	client := int(int16(binary.BigEndian.Uint16(data[12:])))
	n = fixed + 2 + max(client, 0)
	switch {
	case client < -1 || client > maxClient || uint64(n) > h.length:
		return h, 0, parse.No
	case !isText(data[fixed+2:min(n, len(data))], len(data) >= n):
		return h, 0, parse.No
	case len(data) < n:
		return h, 0, parse.Maybe
	}
	h.client = data[fixed+2 : n]
	return h, n, parse.Yes
}

// isText reports whether b, or the beginning of a text if not whole, is text.
func isText(b []byte, whole bool) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return !whole || utf8.Valid(b)
}

// How much of a message is looked at to be certain of it.
const (
	wholeMessage = 16 << 10 // one that is not longer is looked at whole
	partMessage  = 1 << 10  // of a longer one, so much
)

// matchBody says whether the fields of a message of a version are those that follow its head. data begin with the message.
func matchBody(fields []field, version int16, flexible, tags bool, data []byte, head int, length uint64) parse.Verdict {
	look := length
	if look > wholeMessage {
		look = partMessage
	}
	var w walker
	w.start(fields, version, flexible, tags)
	switch there := min(look, uint64(len(data))); {
	case look < uint64(head) || !w.fits(data[head:there], int64(length)-int64(head)):
		return parse.No
	case there < look:
		return parse.Maybe
	}
	return parse.Yes
}

// matchCertain says whether data begin with a request of a version that is known, with
// its body.
func matchCertain(data []byte) (needed int, v parse.Verdict) {
	h, n, v := parseHeader(data)
	if v != parse.Yes {
		return 0, v
	}
	a := apiOf(h.key)
	if a == nil || h.version > a.max {
		return 0, parse.No
	}
	flexible := h.version >= a.flexible
	needed = int(h.length)
	if h.length > wholeMessage {
		needed = partMessage
	}
	return needed, matchBody(a.request, h.version, flexible, flexible, data, n, h.length)
}

// matchRequest says whether data, which are somewhere in the client's stream, begin with
// a request.
func (p *parser) matchRequest(data []byte) parse.Verdict {
	h, _, v := parseHeader(data)
	if v != parse.Yes {
		return v
	}
	if len(p.client) > 3 && string(p.client) == string(h.client) && int32(h.id-p.lastID) > 0 {
		return parse.Yes
	}
	_, v = matchCertain(data)
	return v
}

// matchAnswer says whether data, which are somewhere in the server's stream, begin with
// the answer to a request that waits for one.
func (p *parser) matchAnswer(data []byte) parse.Verdict {
	if len(data) < 8 {
		if len(data) > 0 && data[0] > maxFrame>>24 {
			return parse.No
		}
		return parse.Maybe
	}
	length := binary.BigEndian.Uint32(data)
	if length < 4 || length > maxFrame {
		return parse.No
	}
	id := binary.BigEndian.Uint32(data[4:])
	at := slices.IndexFunc(p.queue, func(x *exchange) bool { return x.ID == id && !x.Token })
	if at < 0 {
		return parse.No
	}
	x := p.queue[at]
	a := apiOf(x.Key)
	if a == nil || x.Ver > a.max {
		return parse.No
	}
	flexible := x.Ver >= a.flexible
	v := matchBody(a.answer, x.Ver, flexible, flexible && x.Key != apiVersions, data, 8, 4+uint64(length))
	if v == parse.No && x.Key == apiVersions && len(data) >= 10 && binary.BigEndian.Uint16(data[8:]) != 0 {
		return matchBody(a.answer, 0, false, false, data, 8, 4+uint64(length))
	}
	return v
}

// begins implements parse.Protocol.
func begins(dir record.Direction, data []byte) parse.Verdict {
	const most = 100 << 20
	if dir == record.Out {
		// An answer has nothing that others have not.
		if len(data) >= 4 {
			if n := binary.BigEndian.Uint32(data); n < 4 || n > most {
				return parse.No
			}
		}
		return parse.Maybe
	}
	h, n, v := parseHeader(data)
	if v != parse.Yes {
		return v
	}
	a := apiOf(h.key)
	if h.length > most || a == nil {
		return parse.No
	}
	if h.version > a.max {
		// A client newer than the table; it begins with ApiVersions.
		if h.key == apiVersions && len(h.client) > 0 {
			return parse.Yes
		}
		return parse.No
	}
	if h.version >= a.flexible && len(data) > n && data[n] == 0 && len(h.client) > 3 {
		return parse.Yes
	}
	_, v = matchCertain(data)
	return v
}

// minName is how many characters of a client's name are certain enough that a message is a
// request. Without them, the next one must be a request of the same client.
const minName = 3

// within implements parse.Protocol. Short messages of other protocols, with numbers of which most bytes are
// 0, look like requests of clients without a name.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	if dir == record.Out {
		return 0, 0, false
	}
	for at := range data {
		n, v := matchCertain(data[at:])
		if v != parse.Yes {
			continue
		}
		h, _, _ := parseHeader(data[at:])
		if len(h.client) >= minName {
			return at, at + n, true
		}
		if h.length > uint64(len(data)-at) {
			continue
		}
		behind := at + int(h.length)
		m, v := matchCertain(data[behind:])
		if next, _, _ := parseHeader(data[behind:]); v == parse.Yes && next.id == h.id+1 && string(next.client) == string(h.client) {
			return at, behind + m, true
		}
	}
	return 0, 0, false
}
