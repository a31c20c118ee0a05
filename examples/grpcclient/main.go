// Command grpcclient calls the gRPC service that cmd/mosn serves with configs/grpc.json,
// so that there is something to record: a unary call, a stream of three messages, and
// a call of a method that does not exist. It prints the status of each.
//
//	go run ./examples/grpcclient -address 127.0.0.1:2047 -message hello
//
// Its exit code is 0 if the two calls were answered with what was sent, and the third
// one was refused.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/grpcecho"
)

func main() {
	address := flag.String("address", "127.0.0.1:2047", "`HOST:PORT` of the service")
	message := flag.String("message", "hello", "`TEXT` to send")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *address, *message); err != nil {
		fmt.Fprintf(os.Stderr, "grpcclient: %v\n", err)
		os.Exit(1)
	}
}

// missingMethod is what the service does not have.
const missingMethod = "/" + grpcecho.ServiceName + "/Missing"

// run makes the calls on one connection and writes their results to out.
func run(ctx context.Context, out io.Writer, address, message string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := grpc.DialContext(ctx, address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithBlock(), grpc.WithReturnConnectionError(), grpc.FailOnNonTempDialError(true))
	if err != nil {
		return fmt.Errorf("connect to %s: %w (is `make run CONFIG=grpc` running?)", address, err)
	}
	defer conn.Close()

	answer, err := grpcecho.Echo(ctx, conn, []byte(message))
	if err := report(out, grpcecho.EchoMethod, fmt.Sprintf("%q", answer), err); err != nil {
		return err
	}
	if string(answer) != message {
		return fmt.Errorf("%s answered %q to %q", grpcecho.EchoMethod, answer, message)
	}

	var sent [][]byte
	for _, part := range []string{"first", "second", "last"} {
		sent = append(sent, []byte(message+", "+part))
	}
	answers, err := grpcecho.Chat(ctx, conn, sent...)
	if err := report(out, grpcecho.ChatMethod, fmt.Sprintf("%q", answers), err); err != nil {
		return err
	}
	for i, answer := range answers {
		if string(answer) != string(sent[i]) {
			return fmt.Errorf("%s answered %q to %q", grpcecho.ChatMethod, answer, sent[i])
		}
	}

	err = conn.Invoke(ctx, missingMethod, wrapperspb.String(message), new(wrapperspb.StringValue))
	if status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("call %s: status %s, want %s: %s", missingMethod, status.Code(err), codes.Unimplemented, status.Convert(err).Message())
	}
	fmt.Fprintf(out, "%s  %s: %s\n", missingMethod, status.Code(err), status.Convert(err).Message())
	return nil
}

// report writes what a call answered. It returns err, and writes nothing then.
func report(out io.Writer, method, answer string, err error) error {
	if err == nil {
		fmt.Fprintf(out, "%s  %s: %s\n", method, codes.OK, answer)
	}
	return err
}
