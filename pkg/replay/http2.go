package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"mosn.io/tcpcopy/internal/protocol"
)

// hpackTable is the size up to which a peer may let its table of header fields
// grow, in bytes; its own settings may say more than the default.
const hpackTable = 1 << 20

func newFramer(r io.Reader) *http2.Framer {
	f := http2.NewFramer(io.Discard, bufio.NewReader(r))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(hpackTable)
	f.SetReuseFrames()
	return f
}

// parseHTTP2Requests begins an exchange for each stream that the client opens.
func (m *messageMatcher) parseHTTP2Requests(r io.Reader) error {
	preface := make([]byte, len(protocol.HTTP2Preface))
	if _, err := io.ReadFull(r, preface); err != nil {
		return err
	}
	if string(preface) != protocol.HTTP2Preface {
		return errors.New("not HTTP/2")
	}
	framer := newFramer(r)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return frameError("request", err)
		}
		x := m.exchanges[uint64(frame.Header().StreamID)]
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if x == nil && f.PseudoValue("method") != "" {
				method := f.PseudoValue("method")
				m.begin(uint64(f.StreamID), method, method+" "+f.PseudoValue("path"))
				m.window.open(f.StreamID)
			} else if x != nil {
				m.requestSent(x) // trailers
			}
		case *http2.DataFrame:
			m.window.spend(f.StreamID, int64(f.Length))
			if x != nil {
				m.requestSent(x)
			}
		case *http2.RSTStreamFrame:
			// How much the server answers until it receives this is chance.
			m.window.end(f.StreamID)
			if x != nil {
				m.forget(x)
			}
		}
	}
}

// parseHTTP2Answers adds the responses of one side to their exchanges. Its units are what comes
// as often in each replay: header blocks, bytes of data, the first settings and
// answers to the client's settings, but not answers to its pings, which are not sent
// again, window updates and whatever else the server tunes its connection with.
func (m *messageMatcher) parseHTTP2Answers(side int, r io.Reader) error {
	framer := newFramer(r)
	s := &m.sides[side]
	first := true
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return frameError("response", err)
		}
		x := m.exchanges[uint64(frame.Header().StreamID)]
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			s.units++
			if x != nil {
				m.addHeaders(x, side, f)
			}
		case *http2.DataFrame:
			s.units += uint64(len(f.Data()))
			if x != nil {
				m.add(x, side, f.Data())
			}
		case *http2.RSTStreamFrame:
			if side == replayed {
				m.window.end(f.StreamID)
			}
			// A server may reset a stream that it has ended, if it received the
			// client's end too late.
			if x != nil && !x.done[side] {
				s.units++
				m.add(x, side, fmt.Appendf(nil, "\nstream reset: %v\n", f.ErrCode))
				m.answered(x, side)
			}
			continue
		case *http2.SettingsFrame:
			if first || f.IsAck() {
				s.units++
			}
			first = first && f.IsAck()
			if side == replayed {
				m.window.settings(f)
			}
		case *http2.WindowUpdateFrame:
			if side == replayed {
				m.window.update(f)
			}
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) && ends(frame) {
			if side == replayed {
				m.window.end(frame.Header().StreamID)
			}
			if x != nil {
				m.answered(x, side)
			}
		}
	}
}

// ends reports whether a frame is of a type that can end a stream. Data and header
// frames have the same flag for it.
func ends(f http2.Frame) bool {
	switch f.(type) {
	case *http2.MetaHeadersFrame, *http2.DataFrame:
		return true
	}
	return false
}

// addHeaders adds a header block in a form that does not depend on the fields'
// order.
func (m *messageMatcher) addHeaders(x *exchange, side int, f *http2.MetaHeadersFrame) {
	var head strings.Builder
	trailer := x.parts[side].length > 0
	if trailer {
		head.WriteByte('\n')
	}
	fields := slices.Clone(f.Fields)
	slices.SortStableFunc(fields, func(a, b hpack.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	for _, field := range fields {
		name := http.CanonicalHeaderKey(field.Name)
		if m.headers[name] || name == "Content-Length" {
			continue
		}
		fmt.Fprintf(&head, "%s: %s\n", field.Name, field.Value)
		if !trailer && name == "Content-Type" {
			x.parts[side].json = isJSON(field.Value)
		}
	}
	if !trailer {
		head.WriteByte('\n')
	}
	m.add(x, side, []byte(head.String()))
	if !trailer {
		x.parts[side].body = len(x.parts[side].head)
	}
}

func frameError(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errAbandoned) {
		return err
	}
	return fmt.Errorf("%s frame: %w", what, err)
}
