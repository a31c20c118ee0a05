package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

const http1Buffer = 4 << 10

// errUpgraded says that a connection goes on in a protocol that is not HTTP.
var errUpgraded = errors.New("the connection changed its protocol")

// parseHTTP1Requests begins an exchange for each request of r.
func (m *messageMatcher) parseHTTP1Requests(r io.Reader) error {
	br := bufio.NewReaderSize(r, http1Buffer)
	for key := uint64(1); ; key++ {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		req, err := http.ReadRequest(br)
		if err != nil {
			return fmt.Errorf("request %d: %w", key, noEOF(err))
		}
		x := m.begin(key, req.Method, req.Method+" "+req.RequestURI)
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return fmt.Errorf("body of request %d: %w", key, noEOF(err))
		}
		m.requestSent(x)
	}
}

// parseHTTP1Answers adds the responses of one side to their exchanges.
func (m *messageMatcher) parseHTTP1Answers(side int, r io.Reader) error {
	br := bufio.NewReaderSize(r, http1Buffer)
	s := &m.sides[side]
	for key := uint64(1); ; {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		x := m.exchanges[key]
		if x == nil {
			// There was no such request, or its exchange was given up and forgotten.
			x = &exchange{paired: true, method: http.MethodGet}
			if key > uint64(m.turns) {
				return errUnrequested
			}
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: x.method})
		if err != nil {
			return fmt.Errorf("response %d: %w", key, noEOF(err))
		}
		tunnel := x.method == http.MethodConnect && resp.StatusCode/100 == 2
		if resp.StatusCode == http.StatusSwitchingProtocols || tunnel {
			return errUpgraded
		}
		if resp.StatusCode/100 == 1 {
			continue
		}
		if err := m.addResponse(x, side, resp); err != nil {
			return fmt.Errorf("body of response %d: %w", key, noEOF(err))
		}
		s.units++
		s.start = s.parser.fed - uint64(s.parser.unread()+br.Buffered())
		m.answered(x, side)
		key++
	}
}

// noEOF returns err, but io.ErrUnexpectedEOF for io.EOF: an end within a message is
// not the end of the stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// addResponse adds a response to an exchange in a form that is the same for
// equal responses: the header fields sorted, without those that only say how the
// body was framed and those that are ignored, and the body as it was meant.
func (m *messageMatcher) addResponse(x *exchange, side int, resp *http.Response) error {
	defer resp.Body.Close()
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s\n", resp.Proto, resp.Status)
	bodyless := x.method == http.MethodHead || resp.StatusCode == http.StatusNotModified
	writeFields(&head, resp.Header, func(name string) bool {
		return m.headers[name] || !bodyless && name == "Content-Length"
	})
	head.WriteByte('\n')
	m.add(x, side, []byte(head.String()))
	if !x.paired {
		x.parts[side].body = len(x.parts[side].head)
		x.parts[side].json = isJSON(resp.Header.Get("Content-Type"))
	}
	if _, err := io.Copy(exchangeWriter{m, x, side}, resp.Body); err != nil {
		return err
	}
	if len(resp.Trailer) > 0 {
		var trailer strings.Builder
		trailer.WriteByte('\n')
		writeFields(&trailer, resp.Trailer, func(name string) bool { return m.headers[name] })
		m.add(x, side, []byte(trailer.String()))
	}
	return nil
}

// writeFields writes header fields in the order of their names.
func writeFields(w *strings.Builder, h http.Header, skip func(name string) bool) {
	names := make([]string, 0, len(h))
	for name := range h {
		if !skip(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			fmt.Fprintf(w, "%s: %s\n", name, value)
		}
	}
}

// isJSON reports whether a media type is JSON.
func isJSON(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// exchangeWriter adds what is written to an exchange's answer.
type exchangeWriter struct {
	m    *messageMatcher
	x    *exchange
	side int
}

func (w exchangeWriter) Write(b []byte) (int, error) {
	if !w.x.paired {
		w.m.add(w.x, w.side, b)
	}
	return len(b), nil
}
