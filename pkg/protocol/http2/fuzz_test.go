package http2_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// FuzzParser gives a parser a session whose pieces are coded in the input, once as they are and once cut, and compares
// the calls. A piece is a byte, whose bits are the direction and whether it is a gap, a length, and
// the bytes.
func FuzzParser(f *testing.F) {
	for _, s := range []parsetest.Session{mix().session, chatty(1, 10), chatty(2, 10)} {
		var b []byte
		for i, p := range framesOf(s) {
			for data := p.Data; len(data) > 0; {
				n := min(len(data), 0xff)
				kind := byte(p.Dir)
				if i%37 == 36 {
					kind |= 2
				}
				b = append(append(b, kind, byte(n)), data[:n]...)
				data = data[n:]
			}
		}
		f.Add(b, uint64(0), true)
		f.Add(b, uint64(1), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, start bool) {
		whole, err := fuzzed(b, nil, start)
		cut, cutErr := fuzzed(b, rand.New(rand.NewPCG(seed, 12)), start)
		if (err == nil) != (cutErr == nil) || parsetest.Text(whole) != parsetest.Text(cut) {
			t.Errorf("%v, calls\n%s\ncut: %v, calls\n%s", err, parsetest.Text(whole), cutErr, parsetest.Text(cut))
		}
	})
}

// fuzzed returns the calls of a session that is coded in b. cuts says where its pieces are cut; nil: nowhere.
func fuzzed(b []byte, cuts *rand.Rand, start bool) ([]call.Call, error) {
	r := &parsetest.Recorder{}
	n := uint64(0)
	runner := parse.NewRunner(&h2.Protocol, parse.Env{
		Sink: r, Spans: true, Memory: 64 << 10, FromStart: [2]bool{start, start}, Next: func() uint64 { n++; return n },
	})
	var offset [2]uint64
	if !start {
		offset = [2]uint64{100, 100}
	}
	at := parsetest.Start
	for len(b) > 2 {
		dir, gap, length := record.Direction(b[0]&1), b[0]&2 != 0, min(int(b[1]), len(b)-2)
		piece := b[2 : 2+length]
		b = b[2+length:]
		at = at.Add(time.Millisecond)
		if gap {
			if err := runner.Gap(dir, offset[dir], uint64(length)); err != nil {
				return r.Calls, err
			}
			offset[dir] += uint64(length)
			continue
		}
		for len(piece) > 0 {
			k := len(piece)
			if cuts != nil {
				k = 1 + cuts.IntN(k)
			}
			if err := runner.Data(dir, offset[dir], at, piece[:k]); err != nil {
				return r.Calls, err
			}
			offset[dir] += uint64(k)
			piece = piece[k:]
		}
	}
	runner.End(parse.End{At: at, Closed: true, Recorded: [2]bool{true, true}})
	return r.Calls, nil
}
