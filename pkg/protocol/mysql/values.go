package mysql

import (
	"encoding/binary"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// maxTypes is of how many parameters of a statement the types are remembered.
const maxTypes = 1 << 10

// sizes are how long values of the types are; 0 stands for values that begin with their
// length, as a number of one byte (dates) or more.
var sizes = map[byte]int{
	0x01: 1, 0x02: 2, 0x0d: 2, 0x03: 4, 0x04: 4, 0x09: 4, 0x08: 8, 0x05: 8,
	0x06: 0, // NULL
}

// typeNull is the type of a NULL that has no value.
const typeNull = 0x06

// skipValues walks through n values in the binary form, with a bitmap of those that are
// NULL and, if sent, their types, after which names may come. types are those that were sent earlier. It
// calls each for every value, and returns how many bytes there were.
func skipValues(b []byte, n int, named bool, types []byte, each func(i, at, size int)) (used int, ok bool) {
	used, _, ok = walkValues(b, n, named, types, each)
	return used, ok
}

func walkValues(b []byte, n int, named bool, types []byte, each func(i, at, size int)) (used int, sent []byte, ok bool) {
	nulls := (n + 7) / 8
	if len(b) < nulls+1 {
		return 0, nil, false
	}
	bitmap := b[:nulls]
	at := nulls + 1
	if b[nulls] == 1 {
		sent = make([]byte, 0, 2*min(n, maxTypes))
		for range n {
			if len(b) < at+2 {
				return 0, nil, false
			}
			sent = append(sent, b[at], b[at+1])
			at += 2
			if named {
				size, k := lenEnc(b[at:])
				if k == 0 || size > uint64(len(b)-at-k) {
					return 0, nil, false
				}
				at += k + int(size)
			}
		}
		types = sent
	}
	if len(types) < 2*n {
		return 0, nil, false
	}
	for i := range n {
		if bitmap[i/8]>>(i%8)&1 != 0 || types[2*i] == typeNull {
			continue
		}
		size, fixed := sizes[types[2*i]]
		if !fixed {
			long, k := lenEnc(b[at:])
			if k == 0 {
				return 0, nil, false
			}
			at += k
			size = int(min(long, 1<<30))
		}
		if size > len(b)-at {
			return 0, nil, false
		}
		if each != nil && size > 0 {
			each(i, at, size)
		}
		at += size
	}
	return at, sent, true
}

// values reports the parameters of an EXECUTE as spans. It returns false, and reports nothing, if
// they cannot be separated.
func (p *parser) values(c source, u *unit, body []byte) bool {
	const fixed = 4 + 1 + 4
	if len(body) < fixed {
		return false
	}
	id := binary.LittleEndian.Uint32(body)
	s, ok := p.Statements[id]
	if !ok || s.Lost {
		return false
	}
	const withCount = 8
	rest, n, named := body[fixed:], s.Params, false
	if p.Agreed&capAttributes != 0 {
		named = true
		if body[4]&withCount != 0 {
			count, k := lenEnc(rest)
			if k == 0 || count > maxTypes {
				return false
			}
			rest, n = rest[k:], int(count)
		}
	}
	if n == 0 || n > maxTypes {
		return n == 0
	}
	from := header + 1 + len(body) - len(rest)
	type value struct{ i, at, size int }
	var found []value
	_, sent, ok := walkValues(rest, n, named, s.Types, func(i, at, size int) { found = append(found, value{i, at, size}) })
	if !ok {
		return false
	}
	if sent != nil && n == s.Params {
		s.Types = sent
		p.Statements[id] = s
	}
	for _, v := range found {
		p.span(c, u.N, from+v.at, rest[v.at:v.at+v.size], call.KindArgument, strconv.Itoa(v.i+1))
	}
	return true
}
