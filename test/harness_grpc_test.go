package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/wiretap"
)

// dialGRPC connects to address and keeps the connection's bytes in *tap.
func dialGRPC(t *testing.T, address string, tap **wiretap.Conn) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.DialContext(deadline(t), address, grpc.WithInsecure(), grpc.WithBlock(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			*tap = wiretap.New(raw)
			return *tap, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// call is one gRPC call as its request stream shows it.
type call struct {
	method   string
	body     []byte
	messages [][]byte
}

// parseCalls reads a client's side of an HTTP/2 connection and returns its calls,
// in the order of their first frames.
func parseCalls(sent []byte) ([]*call, error) {
	rest, ok := bytes.CutPrefix(sent, []byte(http2.ClientPreface))
	if !ok {
		return nil, errors.New("no HTTP/2 preface")
	}
	framer := http2.NewFramer(io.Discard, bytes.NewReader(rest))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	byStream := map[uint32]*call{}
	var calls []*call
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			c := &call{method: f.PseudoValue("path")}
			byStream[f.StreamID] = c
			calls = append(calls, c)
		case *http2.DataFrame:
			c := byStream[f.StreamID]
			if c == nil {
				return nil, errors.New("data of a stream without headers")
			}
			c.body = append(c.body, f.Data()...)
		}
	}
	for _, c := range calls {
		if err := c.parseMessages(); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// parseMessages parses the body: a flag, a length and a message, again and again.
func (c *call) parseMessages() error {
	const head = 5
	for body := c.body; len(body) > 0; {
		if len(body) < head {
			return errors.New("a message's head is cut off")
		}
		end := head + int(binary.BigEndian.Uint32(body[1:head]))
		if end > len(body) {
			return errors.New("a message is cut off")
		}
		var m wrapperspb.BytesValue
		if err := proto.Unmarshal(body[head:end], &m); err != nil {
			return err
		}
		c.messages = append(c.messages, m.GetValue())
		body = body[end:]
	}
	return nil
}
