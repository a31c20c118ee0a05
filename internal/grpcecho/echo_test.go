package grpcecho

import (
	"bytes"
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
)

func TestAnswersWithWhatItWasSent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }() // ends with srv.Stop
	defer func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	conn, err := grpc.Dial(listener.Addr().String(), grpc.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	ctx := context.Background()
	sent := [][]byte{{}, []byte("one"), bytes.Repeat([]byte("x"), 100<<10)}
	for _, payload := range sent {
		got, err := Echo(ctx, conn, payload)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("Echo of %d bytes answered with %d others", len(payload), len(got))
		}
	}
	got, err := Chat(ctx, conn, sent...)
	if err != nil {
		t.Fatal(err)
	}
	for i, answer := range got {
		if !bytes.Equal(answer, sent[i]) {
			t.Errorf("Chat answered message %d of %d bytes with %d others", i, len(sent[i]), len(answer))
		}
	}
}
