package har

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// Has reports whether HAR has calls of a protocol.
func Has(protocol string) bool {
	switch protocol {
	case call.HTTP1, call.HTTP2, call.GRPC, call.WebSocket:
		return true
	}
	return false
}

// Header is what a file begins with, and Footer what it ends with. The entries are between
// them, with commas.
func Header(version string) string {
	creator, _ := json.Marshal(map[string]string{"name": "tcpcopyctl", "version": version}) // text can be marshalled
	// Firefox needs pages.
	return `{"log":{"version":"1.2","creator":` + string(creator) + `,"pages":[],"entries":[`
}

// Footer is what a file ends with.
const Footer = "]}}\n"

// entry is the part of an entry that needs no body. What is not known has the value that
// HAR has for it: -1 of sizes and times, empty text.
type entry struct {
	Started    string          `json:"startedDateTime"`
	Time       milliseconds    `json:"time"`
	Cache      struct{}        `json:"cache"`
	Timings    timings         `json:"timings"`
	ServerIP   string          `json:"serverIPAddress,omitempty"`
	Connection string          `json:"connection"`
	Comment    string          `json:"comment,omitempty"`
	Type       string          `json:"_resourceType,omitempty"` // "websocket", as Chromium has it
	Call       json.RawMessage `json:"_tcpcopy,omitempty"`
}

// request is a request without postData.
type request struct {
	Method      string   `json:"method"`
	URL         string   `json:"url"`
	HTTPVersion string   `json:"httpVersion"`
	Cookies     []cookie `json:"cookies"`
	Headers     []pair   `json:"headers"`
	Query       []pair   `json:"queryString"`
	HeadersSize int64    `json:"headersSize"`
	BodySize    int64    `json:"bodySize"`
	Comment     string   `json:"comment,omitempty"`
}

// response is an answer without content.
type response struct {
	Status      int      `json:"status"` // 0 without an answer, as browsers have it
	StatusText  string   `json:"statusText"`
	HTTPVersion string   `json:"httpVersion"`
	Cookies     []cookie `json:"cookies"`
	Headers     []pair   `json:"headers"`
	RedirectURL string   `json:"redirectURL"`
	HeadersSize int64    `json:"headersSize"`
	BodySize    int64    `json:"bodySize"`
	Comment     string   `json:"comment,omitempty"`
	Error       string   `json:"_error,omitempty"` // why there is no answer
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// milliseconds is a length of time, or -1 where it is not known.
type milliseconds time.Duration

const unknown milliseconds = -1

// MarshalJSON implements json.Marshaler.
func (m milliseconds) MarshalJSON() ([]byte, error) {
	if m < 0 {
		return []byte("-1"), nil
	}
	return json.Marshal(float64(m) / float64(time.Millisecond))
}

type timings struct {
	Blocked milliseconds `json:"blocked"`
	DNS     milliseconds `json:"dns"`
	Connect milliseconds `json:"connect"`
	SSL     milliseconds `json:"ssl"`
	Send    milliseconds `json:"send"`
	Wait    milliseconds `json:"wait"`
	Receive milliseconds `json:"receive"`
}

// total returns the sum of the times that are known.
func (t *timings) total() milliseconds { return max(t.Send, 0) + max(t.Wait, 0) + max(t.Receive, 0) }

// timingsOf returns what the first and the last bytes of both messages say. Where the answer
// begins before the request has ended, nothing was waited for.
func timingsOf(c *call.Call) timings {
	t := timings{unknown, unknown, unknown, unknown, unknown, unknown, unknown}
	req, resp := &c.Request, &c.Response
	sent := req.Last // until the answer begins
	early := !resp.First.IsZero() && (!req.Ended || sent.IsZero() || resp.First.Before(sent))
	if early {
		sent = resp.First
	}
	if (req.Ended || early) && !req.First.IsZero() && !sent.IsZero() {
		t.Send = milliseconds(max(sent.Sub(req.First), 0))
	}
	if d, ok := c.Latency(); ok {
		t.Wait = milliseconds(d)
	}
	if resp.Ended && !resp.First.IsZero() && !resp.Last.IsZero() {
		t.Receive = milliseconds(max(resp.Last.Sub(resp.First), 0))
	}
	return t
}

// startedForm is the form of times. All importers read six digits of a second; the JSON form
// of the call has all nine.
const startedForm = "2006-01-02T15:04:05.000000Z07:00"

// WriteEntry writes the entry of a call of HTTP or gRPC, without its last brace: WriteMessage
// may follow. It reads what k has of the call.
func WriteEntry(w io.Writer, c *calls.Call, k *content.Content) error {
	t := timingsOf(&c.Call)
	e := entry{
		Started: Started(c).UTC().Format(startedForm), Time: t.total(), Timings: t,
		ServerIP: addressOf(c.Listener), Connection: c.Conn, Comment: comment(c, k), Call: jsonForm(c),
	}
	if IsUpgrade(c, k) {
		e.Type = webSocket
	}
	o := &objects{w: w}
	o.begin("", &e)
	o.request(c, k)
	o.response(c, k)
	return o.err
}

// Started returns when a call began, as far as that is known.
func Started(c *calls.Call) time.Time {
	for _, at := range []time.Time{c.Time(), c.Request.Last, c.Response.Last} {
		if !at.IsZero() {
			return at
		}
	}
	return c.Of.First
}

// jsonForm returns the JSON form of a call.
func jsonForm(c *calls.Call) json.RawMessage {
	return query.AppendJSON(nil, &query.Call{Call: &c.Call, Identity: &c.Identity})
}

// comment returns what is not known of a call, in words. It is empty if that is nothing.
func comment(c *calls.Call, k *content.Content) string {
	words := c.Incomplete.Words()
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "_", " ")
	}
	if !k.Complete() {
		words = append(words, "more header fields than are kept")
	}
	for _, dir := range record.Directions() {
		for _, v := range k.Values(dir, call.KindHeader) {
			if v.Cut {
				words = append(words, "the field "+v.Name+" is longer than what is kept of it")
			}
		}
	}
	return strings.Join(words, ", ")
}

func (o *objects) request(c *calls.Call, k *content.Content) {
	r := request{
		Method: c.Method, URL: urlOf(c, k), HTTPVersion: version(c, k, record.In), Cookies: []cookie{}, Headers: []pair{}, Query: []pair{},
		HeadersSize: -1, BodySize: -1,
	}
	if c.Request.Present {
		values := k.Values(record.In, call.KindHeader)
		r.Cookies, r.Headers = cookiesOf(values), headers(c.Protocol, values)
		r.HeadersSize = headersSize(c.Protocol, &c.Request)
		r.BodySize = bodySize(c, &c.Request, record.In, k)
	} else {
		r.Comment = "the request was not recorded"
	}
	r.Query = queryOf(c.Target)
	o.begin("request", &r)
	if c.Request.HasBody {
		o.postData(c, k)
	}
	o.end()
}

func (o *objects) response(c *calls.Call, k *content.Content) {
	r := response{Cookies: []cookie{}, Headers: []pair{}, HeadersSize: -1, BodySize: -1}
	if !c.Response.Present {
		r.Error = "no answer was recorded"
		if c.Failed {
			r.Error = "the connection ended without an answer"
		}
		r.Comment = r.Error
		o.begin("response", &r)
		o.begin("content", &contentHead{MIMEType: unknownType})
		o.end()
		o.end()
		return
	}
	values := answerFields(c, k)
	r.Status, r.StatusText, r.HTTPVersion = status(c, k), statusText(c, k), version(c, k, record.Out)
	r.Cookies, r.Headers = setCookies(values), headers(c.Protocol, values)
	r.RedirectURL = field(values, "location")
	r.HeadersSize = headersSize(c.Protocol, &c.Response)
	r.BodySize = bodySize(c, &c.Response, record.Out, k)
	o.begin("response", &r)
	o.content(c, k)
	o.end()
}

// version returns the version of HTTP of a message, as it names it. Of several answers the last one counts.
func version(c *calls.Call, k *content.Content, dir record.Direction) string {
	version := versionOf(c.Protocol)
	for _, v := range k.Values(dir, call.KindVersion) {
		version = v.Text
	}
	return version
}

// versionOf returns the version of HTTP that a protocol has where its messages name none.
func versionOf(protocol string) string {
	if protocol == call.HTTP1 || protocol == call.WebSocket {
		return "HTTP/1.1"
	}
	return "HTTP/2"
}

// headersSize returns how many bytes are in front of the body, interim answers included; -1
// where fields are compressed.
func headersSize(protocol string, m *call.Message) int64 {
	switch {
	case protocol != call.HTTP1:
		return -1
	case m.HasBody:
		return int64(m.Body.Offset - m.Offset)
	}
	return int64(m.Length)
}

// bodySize returns how many bytes the body has with its codings, without the transfer coding;
// -1 where that is not known.
func bodySize(c *calls.Call, m *call.Message, dir record.Direction, k *content.Content) int64 {
	n, kept := k.Size(dir)
	switch {
	case !m.HasBody:
		return 0
	case !m.Ended:
		return -1
	case c.Protocol == call.HTTP1 && field(fieldsOf(c, k, dir), "transfer-encoding") == "":
		return int64(m.Body.Length)
	case kept && m.Missing == 0:
		return n
	}
	return -1
}
