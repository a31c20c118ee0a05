package grpcecho

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Echo sends payload in one unary call and returns the answer, which belongs to
// the caller.
func Echo(ctx context.Context, conn grpc.ClientConnInterface, payload []byte) ([]byte, error) {
	var out wrapperspb.BytesValue
	if err := conn.Invoke(ctx, EchoMethod, wrapperspb.Bytes(payload), &out); err != nil {
		return nil, fmt.Errorf("call %s with %d bytes: %w", EchoMethod, len(payload), err)
	}
	return out.GetValue(), nil
}

// Chat sends payloads one after the other on one stream, each after the answer to
// the one before, and returns the answers, which belong to the caller.
func Chat(ctx context.Context, conn grpc.ClientConnInterface, payloads ...[]byte) ([][]byte, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, ChatMethod)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", ChatMethod, err)
	}
	answers := make([][]byte, 0, len(payloads))
	for i, payload := range payloads {
		if err := stream.SendMsg(wrapperspb.Bytes(payload)); err != nil {
			return nil, fmt.Errorf("send message %d of %s: %w", i, ChatMethod, err)
		}
		var out wrapperspb.BytesValue
		if err := stream.RecvMsg(&out); err != nil {
			return nil, fmt.Errorf("receive message %d of %s: %w", i, ChatMethod, err)
		}
		answers = append(answers, out.GetValue())
	}
	if err := stream.CloseSend(); err != nil {
		return nil, fmt.Errorf("end stream %s: %w", ChatMethod, err)
	}
	return answers, nil
}
