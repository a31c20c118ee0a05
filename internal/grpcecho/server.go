package grpcecho

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// service is what gRPC checks the registered value against.
type service interface {
	echo(context.Context, *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)
	chat(grpc.ServerStream) error
}

// NewServer returns a server with the echo service registered. The caller serves
// and stops it.
func NewServer(options ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(options...)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: ServiceName,
		HandlerType: (*service)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: handleEcho}},
		Streams: []grpc.StreamDesc{{
			StreamName:    "Chat",
			Handler:       func(srv any, stream grpc.ServerStream) error { return srv.(service).chat(stream) },
			ServerStreams: true,
			ClientStreams: true,
		}},
	}, server{})
	return s
}

type server struct{}

func (server) echo(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	return in, nil
}

func (server) chat(stream grpc.ServerStream) error {
	for {
		var msg wrapperspb.BytesValue
		switch err := stream.RecvMsg(&msg); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := stream.SendMsg(&msg); err != nil {
			return err
		}
	}
}

// handleEcho has the signature that gRPC's generated code has.
func handleEcho(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return srv.(service).echo(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: EchoMethod}
	return interceptor(ctx, in, info, func(ctx context.Context, req any) (any, error) {
		return srv.(service).echo(ctx, req.(*wrapperspb.BytesValue))
	})
}
