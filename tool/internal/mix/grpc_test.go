package mix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"mosn.io/tcpcopy/internal/witness"
)

// grpcCodes are the names of the statuses (google.rpc.Code).
var grpcCodes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// grpcService answers as the requests ask.
type grpcService struct {
	pb.UnimplementedTestServiceServer
}

func payload(n int32) *pb.Payload { return &pb.Payload{Body: []byte(strings.Repeat("p", int(n)))} }

func echo(s *pb.EchoStatus) error {
	if s.GetCode() == 0 {
		return nil
	}
	return status.Error(codes.Code(s.Code), s.Message)
}

func (grpcService) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func (grpcService) UnaryCall(ctx context.Context, q *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if q.ResponseSize < 0 { // until the client gives up
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &pb.SimpleResponse{Payload: payload(q.ResponseSize)}, echo(q.ResponseStatus)
}

func (grpcService) StreamingOutputCall(q *pb.StreamingOutputCallRequest, s pb.TestService_StreamingOutputCallServer) error {
	for _, p := range q.ResponseParameters {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: payload(p.Size)}); err != nil {
			return err
		}
	}
	return echo(q.ResponseStatus)
}

func (grpcService) StreamingInputCall(s pb.TestService_StreamingInputCallServer) error {
	n := 0
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		}
		if err != nil {
			return err
		}
		n += len(q.Payload.GetBody())
	}
}

func (grpcService) FullDuplexCall(s pb.TestService_FullDuplexCallServer) error {
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := echo(q.ResponseStatus); err != nil {
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: q.Payload}); err != nil {
			return err
		}
	}
}

func startGRPC(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.MaxHeaderListSize(1<<20))
	pb.RegisterTestServiceServer(s, grpcService{})
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		stop(t, nil, done)
	})
	return server{address: listener.Addr().String(), name: "grpc-go"}
}

// grpcClient is a client with one connection.
type grpcClient struct {
	r      *run
	client pb.TestServiceClient
	conn   *grpc.ClientConn

	mu    sync.Mutex // guards the rest
	wire  *witness.Conn
	calls map[string]witness.Call
}

func (r *run) grpc() *grpcClient {
	g := &grpcClient{r: r, calls: map[string]witness.Call{}}
	conn, err := grpc.NewClient("passthrough:///cart.example",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithMaxHeaderListSize(1<<20),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := r.path.Dial(ctx)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.wire = c
			return c, err
		}))
	r.check(err)
	g.conn, g.client = conn, pb.NewTestServiceClient(conn)
	return g
}

// do notes a call of method that call makes with the context it is given.
func (g *grpcClient) do(method string, want codes.Code, interleaved bool, call func(ctx context.Context) error) error {
	g.mu.Lock()
	id := fmt.Sprint(len(g.calls) + 1)
	g.calls[id] = witness.Call{}
	g.mu.Unlock()
	err := call(metadata.AppendToOutgoingContext(g.r.ctx, mixHeader, id))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	got := status.Code(err)
	if got != want {
		return fmt.Errorf("%s: want %s: %w", method, want, err)
	}
	target := "grpc.testing.TestService/" + method
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[id] = witness.Call{Protocol: "grpc", Method: "POST", Target: target, Service: "grpc.testing.TestService", Host: "cart.example",
		Status: grpcCodes[got], Code: int(got), Failed: got != codes.OK, Interleaved: interleaved}
	return nil
}

func (g *grpcClient) close() {
	g.r.check(g.conn.Close())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.r.h2calls(g.wire, g.calls)
}

func (g *grpcClient) unary(want codes.Code, request, response int32, options ...grpc.CallOption) error {
	return g.do("UnaryCall", want, false, func(ctx context.Context) error {
		_, err := g.client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(request), ResponseSize: response, ResponseStatus: &pb.EchoStatus{Code: int32(want), Message: "as asked: 100% ünïcode"}}, options...)
		return err
	})
}

func (g *grpcClient) download(n int, want codes.Code) error {
	return g.do("StreamingOutputCall", want, false, func(ctx context.Context) error {
		q := &pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: int32(want)}}
		for i := range n {
			q.ResponseParameters = append(q.ResponseParameters, &pb.ResponseParameters{Size: int32(i * 10)})
		}
		s, err := g.client.StreamingOutputCall(ctx, q)
		for err == nil {
			_, err = s.Recv()
		}
		return err
	})
}

func (g *grpcClient) upload(n int) error {
	return g.do("StreamingInputCall", codes.OK, false, func(ctx context.Context) error {
		s, err := g.client.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		for i := range n {
			if err := s.Send(&pb.StreamingInputCallRequest{Payload: payload(int32(i * 10))}); err != nil {
				return err
			}
		}
		_, err = s.CloseAndRecv()
		return err
	})
}

func (g *grpcClient) both(n int, want codes.Code) error {
	return g.do("FullDuplexCall", want, true, func(ctx context.Context) error {
		s, err := g.client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for i := range n {
			if err := s.Send(&pb.StreamingOutputCallRequest{Payload: payload(int32(i))}); err != nil {
				return err
			}
			if _, err := s.Recv(); err != nil {
				return err
			}
		}
		if want != codes.OK {
			if err := s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: int32(want)}}); err != nil {
				return err
			}
		} else if err := s.CloseSend(); err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	})
}

func grpcScenarios() []scenario {
	return []scenario{
		{"grpc", "unary", func(r *run) {
			g := r.grpc()
			for i := range 40 {
				r.check(g.unary(codes.OK, int32(i*20), int32(i*30)))
				r.check(g.do("EmptyCall", codes.OK, false, func(ctx context.Context) error { _, err := g.client.EmptyCall(ctx, &pb.Empty{}); return err }))
			}
			g.close()
		}},
		{"grpc", "statuses", func(r *run) {
			g := r.grpc()
			for code := codes.OK; code <= codes.Unauthenticated; code++ {
				r.check(g.unary(code, 10, 10))
				r.check(g.download(int(code)%3, code))
			}
			r.check(g.do("UnimplementedCall", codes.Unimplemented, false, func(ctx context.Context) error {
				_, err := g.client.UnimplementedCall(ctx, &pb.Empty{})
				return err
			}))
			g.close()
		}},
		{"grpc", "streams", func(r *run) {
			g := r.grpc()
			for i := range 10 {
				r.check(g.download(i*3, codes.OK))
				r.check(g.upload(i * 3))
				r.check(g.both(i*2+2, codes.OK))
				r.check(g.both(3, codes.ResourceExhausted))
			}
			g.close()
		}},
		{"grpc", "multiplexed", func(r *run) {
			g := r.grpc()
			r.check(g.unary(codes.OK, 1, 1))
			r.together(100, 10, func(i int) error {
				switch i % 4 {
				case 0:
					return g.unary(codes.Code(i%5), int32(i*50), int32(i*100))
				case 1:
					return g.download(10, codes.OK)
				case 2:
					return g.upload(10)
				}
				return g.both(5, codes.OK)
			})
			g.close()
		}},
		{"grpc", "cancelled", func(r *run) {
			g := r.grpc()
			for range 5 {
				r.check(g.do("UnaryCall", codes.DeadlineExceeded, false, func(ctx context.Context) error {
					ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
					defer cancel()
					_, err := g.client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: -1})
					return err
				}))
				r.check(g.do("FullDuplexCall", codes.Canceled, true, func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					s, err := g.client.FullDuplexCall(ctx)
					if err != nil {
						return err
					}
					if err := s.Send(&pb.StreamingOutputCallRequest{Payload: payload(3)}); err != nil {
						return err
					}
					if _, err := s.Recv(); err != nil {
						return err
					}
					cancel()
					_, err = s.Recv()
					return err
				}))
				r.check(g.unary(codes.OK, 5, 5))
			}
			g.close()
		}},
		{"grpc", "compressed-and-big", func(r *run) {
			g := r.grpc()
			for range 5 {
				r.check(g.unary(codes.OK, 20000, 20000, grpc.UseCompressor(gzip.Name)))
				r.check(g.do("EmptyCall", codes.OK, false, func(ctx context.Context) error {
					ctx = metadata.AppendToOutgoingContext(ctx, "x-big", strings.Repeat("b", 50000), "x-data-bin", "\x00\x01\xff")
					_, err := g.client.EmptyCall(ctx, &pb.Empty{})
					return err
				}))
			}
			r.check(g.unary(codes.OK, 2000000, 3000000))
			g.close()
		}},
	}
}
