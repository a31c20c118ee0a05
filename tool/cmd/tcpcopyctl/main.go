// Command tcpcopyctl reads the dumps of tcpcopy for MOSN and controls recorders.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mosn.io/tcpcopy/tool/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it wherever it is
	code := cli.Run(ctx, version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
