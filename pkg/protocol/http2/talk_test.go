package http2_test

import (
	"bytes"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// talk makes a session out of frames that golang.org/x/net encodes. Each method appends
// to the piece that goes on, pause ends it.
type talk struct {
	session parsetest.Session
	sides   [2]peer
	at      time.Time
	last    record.Direction
	fresh   bool
}

type peer struct {
	out     bytes.Buffer
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

func newTalk() *talk {
	t := &talk{at: parsetest.Start, fresh: true}
	for dir := range t.sides {
		p := &t.sides[dir]
		p.framer = http2.NewFramer(&p.out, nil)
		p.framer.AllowIllegalWrites = true
		p.encoder = hpack.NewEncoder(&p.block)
	}
	t.raw(record.In, protocol.HTTP2Preface)
	t.frames(record.In, func(f *http2.Framer) error { return f.WriteSettings() })
	t.frames(record.Out, func(f *http2.Framer) error {
		return f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
	})
	t.frames(record.In, func(f *http2.Framer) error { return f.WriteSettingsAck() })
	return t
}

// raw appends bytes of a direction.
func (t *talk) raw(dir record.Direction, text string) {
	if t.fresh || dir != t.last {
		t.at = t.at.Add(time.Millisecond)
		t.session = append(t.session, parsetest.Piece{Dir: dir, At: t.at})
		t.fresh, t.last = false, dir
	}
	piece := &t.session[len(t.session)-1]
	piece.Data = append(piece.Data, text...)
}

// pause begins a new piece.
func (t *talk) pause() { t.fresh = true }

// frames appends what write writes.
func (t *talk) frames(dir record.Direction, write func(*http2.Framer) error) {
	p := &t.sides[dir]
	if err := write(p.framer); err != nil {
		panic(err)
	}
	t.raw(dir, p.out.String())
	p.out.Reset()
}

// fields encodes fields "name: value"; one that begins with "!" is not put into the table.
func (t *talk) fields(dir record.Direction, fields ...string) []byte {
	p := &t.sides[dir]
	p.block.Reset()
	for _, f := range fields {
		f, sensitive := strings.CutPrefix(f, "!")
		name, value, _ := strings.Cut(f, ": ")
		if err := p.encoder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: sensitive}); err != nil {
			panic(err)
		}
	}
	return bytes.Clone(p.block.Bytes())
}

// head appends a header block.
func (t *talk) head(dir record.Direction, stream uint32, end bool, fields ...string) {
	block := t.fields(dir, fields...)
	t.frames(dir, func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: end, EndHeaders: true})
	})
}

func (t *talk) get(stream uint32, path string, fields ...string) {
	t.head(record.In, stream, true, append([]string{":method: GET", ":scheme: http", ":authority: shop", ":path: " + path}, fields...)...)
}

func (t *talk) post(stream uint32, path string, fields ...string) {
	t.head(record.In, stream, false, append([]string{":method: POST", ":scheme: http", ":path: " + path, ":authority: shop"}, fields...)...)
}

func (t *talk) rpc(stream uint32, method string, fields ...string) {
	t.post(stream, "/shop.Cart/"+method, append([]string{"content-type: application/grpc+proto", "te: trailers"}, fields...)...)
}

func (t *talk) data(dir record.Direction, stream uint32, end bool, data string) {
	t.frames(dir, func(f *http2.Framer) error { return f.WriteData(stream, end, []byte(data)) })
}

func (t *talk) answer(stream uint32, end bool, status string, fields ...string) {
	t.head(record.Out, stream, end, append([]string{":status: " + status}, fields...)...)
}

func (t *talk) reset(dir record.Direction, stream uint32, code http2.ErrCode) {
	t.frames(dir, func(f *http2.Framer) error { return f.WriteRSTStream(stream, code) })
}

// message is a message of gRPC.
func message(text string) string {
	n := len(text)
	return string([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}
