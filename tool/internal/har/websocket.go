package har

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol/websocket"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// message is a message of WebSocket as Chromium has it, without its data.
type message struct {
	Type     string          `json:"type"` // send or receive, of the client
	Time     json.Number     `json:"time"` // in seconds
	Opcode   int             `json:"opcode"`
	Encoding string          `json:"_encoding,omitempty"` // what data still has, such as permessage-deflate
	Comment  string          `json:"comment,omitempty"`
	Call     json.RawMessage `json:"_tcpcopy"`
}

// opcodes are those of RFC 6455, section 5.2, by the method of a call.
var opcodes = map[string]int{"text": 1, "binary": 2, "close": 8}

// BeginMessages and EndMessages are around the messages of an entry, which have commas
// between them.
const (
	BeginMessages = `,"_webSocketMessages":[`
	EndMessages   = `]`
)

// WriteConnection writes an entry without its last brace for a connection whose upgrade is
// not among the calls. c is its first message.
func WriteConnection(w io.Writer, c *calls.Call, k *content.Content) error {
	e := entry{
		Started: Started(c).UTC().Format(startedForm), Timings: timings{unknown, unknown, unknown, unknown, unknown, unknown, unknown},
		ServerIP: addressOf(c.Listener), Connection: c.Conn, Comment: "the upgrade to WebSocket is not among the exported calls", Type: webSocket,
	}
	o := &objects{w: w}
	o.begin("", &e)
	o.begin("request", &request{
		Method: "GET", URL: urlOf(c, k), HTTPVersion: versionOf(c.Protocol), Cookies: []cookie{}, Headers: []pair{}, Query: queryOf(c.Target),
		HeadersSize: -1, BodySize: -1, Comment: e.Comment,
	})
	o.end()
	o.begin("response", &response{Cookies: []cookie{}, Headers: []pair{}, HeadersSize: -1, BodySize: -1, Comment: e.Comment})
	o.begin("content", &contentHead{MIMEType: unknownType})
	o.end()
	o.end()
	return o.err
}

// WriteMessage writes a message of WebSocket.
func WriteMessage(w io.Writer, c *calls.Call, k *content.Content) error {
	dir, kind, m := record.In, "send", &c.Request
	if c.Response.Present {
		dir, kind, m = record.Out, "receive", &c.Response
	}
	at := Started(c)
	head := message{
		Type: kind, Time: json.Number(fmt.Sprintf("%d.%06d", at.Unix(), at.Nanosecond()/1000)), Opcode: opcodes[c.Method],
		Call: jsonForm(c),
	}
	b := bodyOf(c, k, m, dir)
	head.Comment = b.comment
	if k.Encoding(dir) == websocket.Deflate && b.there {
		if plain, ok := inflate(b.data); ok {
			b.data, b.base64 = plain, !isText(plain)
		} else {
			head.Encoding, b.base64 = websocket.Deflate, true
		}
	}
	switch {
	case c.Method == "close" && len(b.data) >= 2:
		b.data = b.data[2:] // without the code, which the call has
		b.base64 = !isText(b.data)
	case c.Method == "binary":
		b.base64 = true // as Chromium has it
	case b.base64 && head.Encoding == "":
		head.Encoding = "base64" // what is no text has no other form
	}
	if c.Incomplete != 0 {
		head.Comment = strings.TrimPrefix(head.Comment+"; "+comment(c, k), "; ")
	}
	o := &objects{w: w}
	o.begin("", &head)
	if !b.there {
		b.data, b.there, b.base64 = nil, true, false
	}
	o.text("data", &b)
	o.end()
	return o.err
}

// inflate returns a message without the compression of RFC 7692. It fails for one that
// refers to what earlier messages had.
func inflate(data []byte) (plain []byte, ok bool) {
	// The sender has removed the end of the last block (section 7.2.1); a block that ends
	// the data follows it here.
	const end = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	r := flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader(end)))
	plain, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	return plain, err == nil && len(plain) <= MaxBody
}
