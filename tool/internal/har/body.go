package har

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/body"
	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// MaxBody is how many bytes a decoded body in a file has at most. Longer ones are left out.
const MaxBody = 16 << 20

// unknownType is Chromium's word for a body without a type.
const unknownType = "x-unknown"

// contentHead is the content of an answer without its text.
type contentHead struct {
	Size        int64  `json:"size"` // of the decoded body
	Compression *int64 `json:"compression,omitempty"`
	MIMEType    string `json:"mimeType"`
	Encoding    string `json:"encoding,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

// postHead is the body of a request without its text. HAR has no field for an encoding
// there; "_encoding" is "base64" where the body is no text.
type postHead struct {
	MIMEType string  `json:"mimeType"`
	Params   []param `json:"params"`
	Encoding string  `json:"_encoding,omitempty"`
	Comment  string  `json:"comment,omitempty"`
}

type param struct {
	Name        string `json:"name"`
	Value       string `json:"value,omitempty"`
	FileName    string `json:"fileName,omitempty"`
	ContentType string `json:"contentType,omitempty"`
}

// shownBody is a body as it is written.
type shownBody struct {
	data    []byte
	there   bool  // data is to be written
	base64  bool  // because data is no text
	size    int64 // of the decoded body, or of what is known of it
	coded   bool  // it had codings, which data has not
	comment string
}

// bodyOf returns the body of a direction.
func bodyOf(c *calls.Call, k *content.Content, m *call.Message, dir record.Direction) shownBody {
	var b shownBody
	var remarks []string
	if m.Missing > 0 {
		remarks = append(remarks, fmt.Sprintf("%d bytes of the body were not recorded", m.Missing))
	} else if !m.Ended && c.Incomplete&(call.CutByWindow|call.Gap) != 0 {
		remarks = append(remarks, "the end of the body was not recorded")
	} else if !m.Ended {
		remarks = append(remarks, "the body ended early")
	}
	raw, kept := k.Size(dir)
	b.size = max(raw, bodySize(c, m, dir, k))
	codings := k.Codings(dir)
	if c.Protocol == call.GRPC {
		codings = nil // messages have theirs inside
	}
	var err error
	switch {
	case !kept:
		_, err = k.Raw(dir)
		b.size = max(bodySize(c, m, dir, k), 0)
		remarks = append(remarks, "the body is left out: "+err.Error())
	case len(codings) == 0 && raw > MaxBody:
		remarks = append(remarks, tooLong)
	case len(codings) == 0:
		b.data, err = rawBody(k, dir)
		b.there = err == nil
	default:
		b.data, err = k.DecodedWithin(dir, MaxBody)
		b.coded, b.there = true, true
		b.size = int64(len(b.data))
		switch {
		case errors.Is(err, body.ErrBomb):
			b.data, b.there, b.coded, b.size = nil, false, false, max(raw, bodySize(c, m, dir, k))
			remarks = append(remarks, tooLong+"; its size is that of the encoded body")
		case err != nil && len(b.data) == 0:
			remarks = append(remarks, "the body cannot be decoded, and is here as it was recorded: "+err.Error())
			b.coded, b.size = false, max(raw, bodySize(c, m, dir, k))
			if raw <= MaxBody {
				b.data, err = rawBody(k, dir)
				b.there = err == nil
			} else {
				b.there = false
			}
		case err != nil:
			remarks = append(remarks, "the rest of the body cannot be decoded: "+err.Error())
		}
	}
	b.base64 = b.there && (c.Protocol == call.GRPC || !isText(b.data))
	b.comment = strings.Join(remarks, "; ")
	return b
}

var tooLong = fmt.Sprintf("the body is left out, because it has more than %d bytes", MaxBody)

func rawBody(k *content.Content, dir record.Direction) ([]byte, error) {
	r, err := k.Raw(dir)
	if err != nil {
		return nil, err
	}
	n, _ := k.Size(dir)
	data := make([]byte, n)
	_, err = io.ReadFull(r, data)
	return data, err
}

// isText reports whether data can be the text of a field: UTF-8 without characters that text
// does not have.
func isText(data []byte) bool {
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f' && b != '\b' && b != 0x1b {
			return false
		}
	}
	return utf8.Valid(data)
}

func (o *objects) content(c *calls.Call, k *content.Content) {
	head := contentHead{MIMEType: field(answerFields(c, k), "content-type")}
	if head.MIMEType == "" {
		head.MIMEType = unknownType
	}
	if !c.Response.HasBody {
		o.begin("content", &head)
		o.end()
		return
	}
	b := bodyOf(c, k, &c.Response, record.Out)
	head.Size, head.Comment = b.size, b.comment
	if sent := bodySize(c, &c.Response, record.Out, k); b.coded && sent >= 0 {
		saved := b.size - sent
		head.Compression = &saved
	}
	if b.base64 {
		head.Encoding = "base64"
	}
	o.begin("content", &head)
	o.text("text", &b)
	o.end()
}

func (o *objects) postData(c *calls.Call, k *content.Content) {
	b := bodyOf(c, k, &c.Request, record.In)
	head := postHead{MIMEType: field(k.Values(record.In, call.KindHeader), "content-type"), Params: []param{}, Comment: b.comment}
	if b.base64 {
		head.Encoding = "base64"
	}
	if b.there {
		head.Params = paramsOf(head.MIMEType, b.data)
	}
	o.begin("postData", &head)
	o.text("text", &b)
	o.end()
}

// maxParams and maxParam bound what is read of a form. The text has all of it.
const (
	maxParams = 1000
	maxParam  = 64 << 10 // bytes of a value
)

// paramsOf returns the values of a form. It is never nil.
func paramsOf(mimeType string, data []byte) []param {
	params := []param{}
	kind, options, err := mime.ParseMediaType(mimeType)
	switch {
	case err != nil && kind == "":
	case kind == "application/x-www-form-urlencoded" && isText(data):
		for _, p := range parameters(string(data)) {
			if len(params) < maxParams && len(p.Value) <= maxParam {
				params = append(params, param{Name: p.Name, Value: p.Value})
			}
		}
	case kind == "multipart/form-data" && options["boundary"] != "":
		parts := multipart.NewReader(bytes.NewReader(data), options["boundary"])
		for len(params) < maxParams {
			part, err := parts.NextRawPart()
			if err != nil {
				break // what follows is no part
			}
			p := param{Name: part.FormName(), FileName: part.FileName(), ContentType: part.Header.Get("Content-Type")}
			if value, err := io.ReadAll(io.LimitReader(part, maxParam+1)); err == nil && len(value) <= maxParam && p.FileName == "" && isText(value) {
				p.Value = string(value)
			}
			params = append(params, p)
		}
	}
	return params
}

// text writes a body as the next field of the object, if it is there.
func (o *objects) text(key string, b *shownBody) {
	if !b.there {
		return
	}
	o.raw(`,"` + key + `":`)
	if !b.base64 {
		o.string(b.data)
		return
	}
	o.raw(`"`)
	e := base64.NewEncoder(base64.StdEncoding, o)
	_, _ = e.Write(b.data) // o keeps the error
	_ = e.Close()
	o.raw(`"`)
}
