package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
	"mosn.io/tcpcopy/tool/internal/protomsg"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// callFlags is the part of a command line that says how a call is shown.
type callFlags struct {
	decode    *decodeFlags
	body      bool
	request   bool
	curl      bool
	protos    []string
	protosets []string
	imports   []string
}

func addCallFlags(cmd *cobra.Command) *callFlags {
	c := &callFlags{decode: addDecodeFlags(cmd)}
	f := cmd.Flags()
	f.BoolVar(&c.body, "body", false, "of a call: write the decoded body of the answer alone")
	f.BoolVar(&c.request, "request", false, "with --body: that of the request")
	f.BoolVar(&c.curl, "curl", false, "of a call: print the command that sends it again (curl, grpcurl or redis-cli)")
	f.StringArrayVar(&c.protos, "proto", nil, "the `.proto file` that describes gRPC messages")
	f.StringArrayVar(&c.protosets, "protoset", nil, "the file `descriptor set` that describes them")
	f.StringArrayVar(&c.imports, "import-path", nil, "a `folder` in which --proto looks for imports")
	return c
}

// check reports flags that do not go together. isCall says that a call is shown.
func (c *callFlags) check(cmd *cobra.Command, isCall bool) error {
	switch {
	case !isCall && (c.body || c.curl || c.request || len(c.protos)+len(c.protosets) > 0):
		return misused(cmd, "--body, --request, --curl, --proto and --protoset are for one call: name it, as in \"tcpcopyctl show k3v9qa-17#3\"")
	case c.body && c.curl:
		return misused(cmd, "--body and --curl exclude each other: give one of them")
	case c.request && !c.body:
		return misused(cmd, "--request says whose body --body writes: add --body")
	}
	return nil
}

// shownCall is a call that was found, with its content.
type shownCall struct {
	calls.Call
	content *content.Content
	schema  *protomsg.Schema  // nil if there is none
	words   []string          // the arguments of show that name the call
	only    *record.Direction // that is shown; nil for both
}

// showCall shows one call of a connection. q reads the connection; n is the call's number
// in its window.
func (t *tool) showCall(cmd *cobra.Command, q *reading.Query, g *target, o *output, c *callFlags, asJSON bool) error {
	n, err := strconv.ParseUint(g.call, 10, 64)
	if err != nil {
		return misused(cmd, "%q is no call: its number is too large", g.named())
	}
	options, err := c.decode.options(cmd)
	if err != nil {
		return err
	}
	var schema *protomsg.Schema
	if len(c.protos)+len(c.protosets) > 0 {
		if schema, err = protomsg.Load(cmd.Context(), c.protos, c.protosets, c.imports); err != nil {
			return misused(cmd, "%w", err)
		}
	}
	limits := content.Limits{}
	if c.body {
		limits = content.Limits{Body: 1 << 40, Decoded: 1 << 40}
	}
	collector := content.NewCollector(content.Everything(func(_ *dump.Connection, of uint64) bool { return of == n }), limits)
	defer func() { _ = collector.Close() }() // it was read only
	options.Span, options.Keeper = collector.Span, collector
	options.Dropped = func(c *calls.Call) { _ = collector.Take(c).Close() } // it was never anybody's
	var found []*shownCall
	last := uint64(0)
	coverage, err := q.Calls(cmd.Context(), options, func(of *calls.Call) error {
		last = max(last, of.N)
		if of.N == n {
			found = append(found, &shownCall{Call: *of, content: collector.Take(of), schema: schema, words: append([]string{of.ID()}, g.dir...), only: q.Options.Filter.Only})
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range found {
			_ = s.content.Close() // it was read only
		}
	}()
	switch len(found) {
	case 1:
	case 0:
		if last == 0 {
			return fmt.Errorf("connection %q has no calls here: \"tcpcopyctl conns\" lists what there is", q.Conns[0])
		}
		return fmt.Errorf("connection %q has no call %d here: its last one is %d; \"tcpcopyctl calls --conn %s\" lists them", q.Conns[0], n, last, q.Conns[0])
	default:
		var windows []string
		for _, s := range found {
			windows = append(windows, printable(o.window(s.Window)))
		}
		return misused(cmd, "several windows have a call %s: say which one with --window, valid: %s", printable(found[0].ID()), strings.Join(windows, " "))
	}
	s := found[0]
	for i := range coverage.Fallbacks {
		if f := &coverage.Fallbacks[i]; f.Window == s.Window {
			fmt.Fprintf(t.stderr, "tcpcopyctl: %s: %s\n", printable(f.Conn), fallbackReason(f))
		}
	}
	switch {
	case c.curl:
		return t.printResend(s, c)
	case c.body:
		dir := record.Out
		if c.request {
			dir = record.In
		}
		return t.writeBody(s, dir)
	case asJSON:
		return t.printCallJSON(s)
	}
	return newCallPrinter(t.stdout, o, t.colours()).print(s)
}

// writeBody writes the decoded body of a direction.
func (t *tool) writeBody(s *shownCall, dir record.Direction) error {
	m := s.side(dir)
	switch {
	case !m.Present:
		return fmt.Errorf("the %s of %s was not recorded", sideName(dir), s.ID())
	case !m.HasBody:
		return fmt.Errorf("the %s of %s has no body", sideName(dir), s.ID())
	}
	if m.Missing > 0 {
		fmt.Fprintf(t.stderr, "tcpcopyctl: %d bytes of the body were not recorded\n", m.Missing)
	}
	if s.content.HasMessages(dir) {
		text, unknown, err := s.messages(dir)
		if _, failed := io.WriteString(t.stdout, text); failed != nil {
			return failed
		}
		if len(unknown) > 0 {
			fmt.Fprintf(t.stderr, "tcpcopyctl: %s\n", notDescribed(unknown))
		}
		return err
	}
	data, err := s.content.Decoded(dir)
	if _, failed := t.stdout.Write(data); failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("decode the body of the %s: %w", sideName(dir), err)
	}
	return nil
}

// side returns the message of the call that went in a direction.
func (s *shownCall) side(dir record.Direction) *call.Message {
	if dir == record.Out {
		return &s.Response
	}
	return &s.Request
}

func sideName(dir record.Direction) string {
	if dir == record.Out {
		return "answer"
	}
	return "request"
}

// messages returns the messages of gRPC as text: as JSON where they are described, else
// as a tree of fields. With an error it returns those before it. Fields that the description does not have are
// named by missing.
func (s *shownCall) messages(dir record.Direction) (text string, missing []string, err error) {
	messages, err := s.content.Messages(dir)
	for _, m := range messages {
		line, unknown, failed := s.message(dir, m, false)
		if failed != nil {
			return text, missing, errors.Join(failed, err)
		}
		text += line
		missing = append(missing, unknown...)
	}
	return text, missing, err
}

// message returns a message as text, with the fields that its description does not have.
func (s *shownCall) message(dir record.Direction, m []byte, multiline bool) (text string, unknown []string, err error) {
	if s.schema == nil {
		return messageTree(m), nil, nil
	}
	method, err := s.schema.Method(s.Service, s.rpcMethod())
	if err != nil {
		return "", nil, err
	}
	of := method.Input()
	if dir == record.Out {
		of = method.Output()
	}
	text, unknown, err = s.schema.JSON(m, of, multiline)
	return text + "\n", unknown, err
}

// messageTree returns a message as a tree of fields. gRPC carries other things than protobuf, too.
func messageTree(m []byte) string {
	tree, err := protomsg.Tree(m)
	switch {
	case err != nil:
		return fmt.Sprintf("%d bytes %x\n", len(m), m)
	case tree == "":
		return "(empty message)\n"
	}
	return tree
}

// notDescribed says that fields of messages are not in the JSON.
func notDescribed(unknown []string) string {
	slices.Sort(unknown)
	return "fields that the description does not have are left out: " + strings.Join(slices.Compact(unknown), ", ")
}

// callContent is the content of a call's side as JSON.
type callContent struct {
	Values []valueRow `json:"values"`
	Body   *string    `json:"body,omitempty"`        // decoded, where it is UTF-8
	Base64 []byte     `json:"body_base64,omitempty"` // else
	Error  string     `json:"body_error,omitempty"`  // why it is not all there
}

type valueRow struct {
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

// printCallJSON prints the call's JSON form with one more field, content.
func (t *tool) printCallJSON(s *shownCall) error {
	line := query.AppendJSON(nil, &query.Call{Call: &s.Call.Call, Identity: &s.Identity})
	sides := map[string]*callContent{}
	for dir, name := range map[record.Direction]string{record.In: "request", record.Out: "response"} {
		if !s.side(dir).Present {
			continue
		}
		side := &callContent{Values: []valueRow{}}
		for _, v := range s.content.Values(dir) {
			side.Values = append(side.Values, valueRow{v.Kind.String(), v.Name, v.Text})
		}
		if s.side(dir).HasBody {
			data, err := s.content.Decoded(dir)
			if err != nil {
				side.Error = err.Error()
			}
			if text := string(data); utf8.ValidString(text) {
				side.Body = &text
			} else {
				side.Base64 = data
			}
		}
		sides[name] = side
	}
	more, err := json.Marshal(map[string]any{"content": sides})
	if err != nil {
		return err
	}
	line = append(line[:len(line)-1], ',')
	_, err = t.stdout.Write(append(append(line, more[1:]...), '\n'))
	return err
}
