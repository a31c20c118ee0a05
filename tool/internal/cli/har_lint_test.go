package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fields that HAR 1.2 requires of each object, with the kinds of their values, and those
// that it allows besides (http://www.softwareishard.com/blog/har-12-spec/).
var harObjects = map[string]struct{ required, optional map[string]string }{
	"log":      {map[string]string{"version": "string", "creator": "creator", "entries": "[]entry"}, map[string]string{"browser": "creator", "pages": "[]page", "comment": "string"}},
	"creator":  {map[string]string{"name": "string", "version": "string"}, map[string]string{"comment": "string"}},
	"entry":    {map[string]string{"startedDateTime": "date", "time": "count", "request": "request", "response": "response", "cache": "cache", "timings": "timings"}, map[string]string{"pageref": "string", "serverIPAddress": "string", "connection": "string", "comment": "string"}},
	"request":  {map[string]string{"method": "string", "url": "url", "httpVersion": "string", "cookies": "[]cookie", "headers": "[]pair", "queryString": "[]pair", "headersSize": "size", "bodySize": "size"}, map[string]string{"postData": "postData", "comment": "string"}},
	"response": {map[string]string{"status": "count", "statusText": "string", "httpVersion": "string", "cookies": "[]cookie", "headers": "[]pair", "content": "content", "redirectURL": "string", "headersSize": "size", "bodySize": "size"}, map[string]string{"comment": "string"}},
	"cookie":   {map[string]string{"name": "string", "value": "string"}, map[string]string{"path": "string", "domain": "string", "expires": "date", "httpOnly": "bool", "secure": "bool", "sameSite": "string", "comment": "string"}},
	"pair":     {map[string]string{"name": "string", "value": "string"}, map[string]string{"comment": "string"}},
	"postData": {map[string]string{"mimeType": "string"}, map[string]string{"params": "[]param", "text": "string", "comment": "string"}},
	"param":    {map[string]string{"name": "string"}, map[string]string{"value": "string", "fileName": "string", "contentType": "string", "comment": "string"}},
	"content":  {map[string]string{"size": "count", "mimeType": "string"}, map[string]string{"compression": "number", "text": "string", "encoding": "string", "comment": "string"}},
	"cache":    {nil, map[string]string{"comment": "string"}},
	"timings":  {map[string]string{"send": "size", "wait": "size", "receive": "size"}, map[string]string{"blocked": "size", "dns": "size", "connect": "size", "ssl": "size", "comment": "string"}},
}

// lintHAR returns what is wrong with a value that should be of a kind.
func lintHAR(at, kind string, v any) (faults []string) {
	bad := func() []string { return append(faults, fmt.Sprintf("%s is %.100v, want a %s", at, v, kind)) }
	if of, ok := strings.CutPrefix(kind, "[]"); ok {
		list, ok := v.([]any)
		if !ok {
			return bad()
		}
		for i, e := range list {
			faults = append(faults, lintHAR(fmt.Sprintf("%s[%d]", at, i), of, e)...)
		}
		return faults
	}
	text, isText := v.(string)
	number, isNumber := v.(float64)
	var ok bool
	switch kind {
	case "string":
		ok = isText
	case "bool":
		_, ok = v.(bool)
	case "number":
		ok = isNumber
	case "count":
		ok = isNumber && number >= 0
	case "size":
		ok = isNumber && (number >= 0 || number == -1)
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		ok = err == nil
	case "url":
		u, err := url.Parse(text)
		ok = err == nil && u.Scheme != "" && u.Host != ""
	default:
		fields, isObject := v.(map[string]any)
		if !isObject {
			return bad()
		}
		object := harObjects[kind]
		for name, of := range object.required {
			if fields[name] == nil {
				faults = append(faults, at+" has no "+name)
			} else {
				faults = append(faults, lintHAR(at+"."+name, of, fields[name])...)
			}
		}
		for name, value := range fields {
			switch {
			case object.required[name] != "" || strings.HasPrefix(name, "_"):
			case object.optional[name] == "":
				faults = append(faults, at+" has the field "+name+", which HAR does not know")
			default:
				faults = append(faults, lintHAR(at+"."+name, object.optional[name], value)...)
			}
		}
		return faults
	}
	if !ok {
		return bad()
	}
	return faults
}

// harEntry is an entry of a file.
type harEntry struct {
	StartedDateTime     string
	Time                float64
	ServerIPAddress     string
	Connection, Comment string
	Request             struct {
		Method, URL, HTTPVersion, Comment string
		Cookies                           []harCookie
		Headers, QueryString              []harPair
		HeadersSize, BodySize             int
		PostData                          *struct {
			MIMEType, Text, Comment string
			Encoding                string `json:"_encoding"`
			Params                  []struct{ Name, Value, FileName, ContentType string }
		}
	}
	Response struct {
		Status                                        int
		StatusText, HTTPVersion, RedirectURL, Comment string
		Error                                         string `json:"_error"`
		Cookies                                       []harCookie
		Headers                                       []harPair
		HeadersSize, BodySize                         int
		Content                                       struct {
			Size, Compression                 int
			MIMEType, Text, Encoding, Comment string
		}
	}
	Timings struct{ Send, Wait, Receive float64 }
	Type    string `json:"_resourceType"`
	Call    struct {
		ID, Protocol, Status string
		Incomplete           []string
	} `json:"_tcpcopy"`
	Messages []struct {
		Type   string
		Time   float64
		Opcode int
		Data   string
	} `json:"_webSocketMessages"`
}

type harPair struct{ Name, Value string }

type harCookie struct {
	Name, Value, Path, Domain, Expires string
	HTTPOnly, Secure                   bool
}

// readHAR checks a file and returns its entries.
func readHAR(t *testing.T, text []byte) []harEntry {
	t.Helper()
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, fault := range lintHAR("log", "log", file["log"]) {
		t.Error(fault)
	}
	var typed struct {
		Log struct {
			Version string     `json:"version"`
			Entries []harEntry `json:"entries"`
		} `json:"log"`
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&typed); err != nil {
		t.Fatal(err)
	}
	entries := typed.Log.Entries
	if typed.Log.Version != "1.2" {
		t.Errorf("version %q", typed.Log.Version)
	}
	started := func(e harEntry) string { return e.StartedDateTime } // of one zone and one length
	if !slices.IsSortedFunc(entries, func(a, b harEntry) int { return strings.Compare(started(a), started(b)) }) {
		t.Error("the entries are not in order of time")
	}
	for _, e := range entries {
		sum := max(e.Timings.Send, 0) + max(e.Timings.Wait, 0) + max(e.Timings.Receive, 0)
		if math.Abs(sum-e.Time) > 1e-6 {
			t.Errorf("%s: its time is %v, and %v in all", e.Call.ID, e.Time, sum)
		}
	}
	return entries
}

// body returns the body of an entry's answer.
func (e *harEntry) body(t *testing.T) string {
	t.Helper()
	if e.Response.Content.Encoding != "base64" {
		return e.Response.Content.Text
	}
	data, err := base64.StdEncoding.DecodeString(e.Response.Content.Text)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}
