// Command mosncodec lets tests of the other module, which does not link MOSN, use MOSN's
// codecs of RPC protocols: it reads one Request in JSON from each line of its input, and writes
// one Response for it. It ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"mosn.io/api"
	"mosn.io/mosn/pkg/protocol"
	"mosn.io/mosn/pkg/protocol/xprotocol/bolt"
	"mosn.io/mosn/pkg/protocol/xprotocol/boltv2"
	"mosn.io/mosn/pkg/protocol/xprotocol/dubbo"
	"mosn.io/mosn/pkg/protocol/xprotocol/dubbothrift"
	"mosn.io/mosn/pkg/protocol/xprotocol/tars"
	"mosn.io/pkg/buffer"
	"mosn.io/pkg/variable"

	"mosn.io/tcpcopy/internal/witness"
)

var codecs = map[string]api.XProtocolCodec{
	"bolt":         &bolt.XCodec{},
	"boltv2":       &boltv2.XCodec{},
	"dubbo":        &dubbo.XCodec{},
	"dubbo-thrift": &dubbothrift.XCodec{},
	"tars":         &tars.XCodec{},
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	requests := json.NewDecoder(bufio.NewReader(in))
	responses := json.NewEncoder(out)
	for {
		var request witness.CodecRequest
		if err := requests.Decode(&request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		response, err := answer(request)
		if err != nil {
			response.Error = err.Error()
		}
		if err := responses.Encode(response); err != nil {
			return fmt.Errorf("write a response: %w", err)
		}
	}
}

func answer(request witness.CodecRequest) (witness.CodecResponse, error) {
	codec, ok := codecs[request.Protocol]
	if !ok {
		return witness.CodecResponse{}, fmt.Errorf("protocol %q", request.Protocol)
	}
	var response witness.CodecResponse
	for i, frame := range request.Encode {
		data, err := encode(request.Protocol, codec, frame)
		if err != nil {
			return response, fmt.Errorf("encode frame %d: %w", i, err)
		}
		response.Encoded = append(response.Encoded, data)
	}
	frames, err := decode(codec, request.Decode)
	response.Decoded = frames
	return response, err
}

// encode returns the bytes of a frame of Bolt.
func encode(name string, codec api.XProtocolCodec, f witness.Frame) ([]byte, error) {
	headers := protocol.CommonHeader(f.Headers)
	var body api.IoBuffer
	if f.Body != nil {
		body = buffer.NewIoBufferBytes(f.Body)
	}
	command := func(v1 *bolt.RequestHeader) {
		v1.Class = f.Class
		if f.OneWay {
			v1.CmdType = bolt.CmdTypeRequestOneway
		}
		if f.Heartbeat {
			v1.CmdCode = bolt.CmdCodeHeartbeat
		}
	}
	result := func(v1 *bolt.ResponseHeader) {
		v1.Class = f.Class
		if f.Heartbeat {
			v1.CmdCode = bolt.CmdCodeHeartbeat
		}
	}
	var model any
	switch {
	case name == "bolt" && f.Request:
		r := bolt.NewRpcRequest(uint32(f.ID), headers, body)
		command(&r.RequestHeader)
		model = r
	case name == "bolt":
		r := bolt.NewRpcResponse(uint32(f.ID), uint16(f.Status), headers, body)
		result(&r.ResponseHeader)
		model = r
	case name == "boltv2" && f.Request:
		r := boltv2.NewRpcRequest(uint32(f.ID), headers, body)
		command(&r.RequestHeader.RequestHeader)
		model = r
	case name == "boltv2":
		r := boltv2.NewRpcResponse(uint32(f.ID), uint16(f.Status), headers, body)
		result(&r.ResponseHeader.ResponseHeader)
		model = r
	default:
		return nil, fmt.Errorf("%s is only decoded", name)
	}
	data, err := codec.NewXProtocol(context.Background()).Encode(context.Background(), model)
	if err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// decode returns the frames of data.
func decode(codec api.XProtocolCodec, data []byte) ([]witness.Frame, error) {
	var frames []witness.Frame
	left := buffer.NewIoBufferBytes(data)
	for left.Len() > 0 {
		ctx := variable.NewVariableContext(context.Background())
		at := len(data) - left.Len()
		model, err := codec.NewXProtocol(ctx).Decode(ctx, left)
		if err != nil {
			return frames, fmt.Errorf("decode at byte %d: %w", at, err)
		}
		x, ok := model.(api.XFrame)
		if !ok {
			return frames, fmt.Errorf("decode at byte %d: a frame is not whole", at)
		}
		f := witness.Frame{
			Range: witness.Range{Offset: uint64(at), Length: uint64(len(data) - left.Len() - at)},
			ID:    x.GetRequestId(), Heartbeat: x.IsHeartbeatFrame(), Headers: map[string]string{},
			Request: x.GetStreamType() != api.Response, OneWay: x.GetStreamType() == api.RequestOneWay,
		}
		x.GetHeader().Range(func(key, value string) bool { f.Headers[key] = value; return true })
		switch m := model.(type) {
		case api.XRespFrame:
			if !f.Request {
				f.Status = m.GetStatusCode()
			}
		}
		switch m := model.(type) {
		case *bolt.Request:
			f.Class = m.Class
		case *bolt.Response:
			f.Class = m.Class
		case *boltv2.Request:
			f.Class = m.Class
		case *boltv2.Response:
			f.Class = m.Class
		}
		frames = append(frames, f)
	}
	return frames, nil
}
