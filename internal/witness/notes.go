package witness

import (
	"encoding/json"
	"os"
	"time"
)

// Range is a part of one direction of a connection.
type Range struct {
	Offset uint64 `json:"offset"`
	Length uint64 `json:"length"`
}

// Call is a call as its client made it. Its fields mean what those of the call list mean
// (docs/calls.md).
type Call struct {
	Protocol string `json:"protocol"`
	Conn     string `json:"conn"` // the ID of its link
	N        int    `json:"n"`    // counts the calls of the connection from 1, as the client began them

	Method   string `json:"method"`
	Target   string `json:"target"`
	OrTarget string `json:"or_target,omitempty"` // is right too, where the target depends on what was recorded of other connections
	Status   string `json:"status"`              // empty without an answer
	Code     int    `json:"code,omitempty"`
	Failed   bool   `json:"failed,omitempty"`
	Host     string `json:"host,omitempty"`
	Service  string `json:"service,omitempty"`

	// Request and Response are the ranges of the two messages on the wire, nil where the client
	// does not know them. NoAnswer and NoRequest say that there is none.
	Request   *Range `json:"request"`
	Response  *Range `json:"response"`
	NoAnswer  bool   `json:"no_answer,omitempty"`
	NoRequest bool   `json:"no_request,omitempty"`

	// RequestBody and ResponseBody are the ranges of the bodies, nil where the client does not
	// know them.
	RequestBody  *Range `json:"request_body,omitempty"`
	ResponseBody *Range `json:"response_body,omitempty"`

	// Final is the offset of the final answer where interim ones are in front of it, else 0.
	Final uint64 `json:"final,omitempty"`

	// Undecided says that the client gave up waiting, so that it does not know whether
	// an answer passed the proxy, and with which status.
	Undecided bool `json:"undecided,omitempty"`

	Interleaved bool   `json:"interleaved,omitempty"`
	NoLatency   bool   `json:"no_latency,omitempty"` // although there are a request and an answer
	Comment     string `json:"comment,omitempty"`
}

// Fixture is a connection with its calls, as tests of parsers read it.
type Fixture struct {
	Protocol string  `json:"protocol"`
	Name     string  `json:"name"`
	Calls    []Call  `json:"calls"`
	Chunks   []piece `json:"chunks"`
}

type piece struct {
	Dir    string `json:"dir"` // "in" or "out"
	Offset uint64 `json:"offset"`
	TNS    int64  `json:"t_ns"` // since the first one
	Data   []byte `json:"data"`
}

// NewFixture returns the fixture of link with its calls.
func NewFixture(protocol, name string, link *Link, calls []Call) Fixture {
	f := Fixture{Protocol: protocol, Name: name, Calls: []Call{}}
	for _, c := range calls {
		if c.Conn == link.ID {
			f.Calls = append(f.Calls, c)
		}
	}
	var first time.Time
	for i, c := range link.Chunks() {
		if i == 0 {
			first = c.At
		}
		f.Chunks = append(f.Chunks, piece{c.Direction.String(), c.Offset, c.At.Sub(first).Nanoseconds(), c.Data})
	}
	return f
}

// Write writes the fixture to a file.
func (f Fixture) Write(path string) error {
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
