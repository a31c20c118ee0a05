// Command mosn is MOSN with the tcpcopy filter compiled in. It is started and
// stopped like MOSN's own binary and understands the same configurations; it has
// no seata stream filter, because that filter's sources do not build.
//
// It also serves the gRPC service of package grpcecho, so that a listener with
// MOSN's grpc filter has a service.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	if err := run(os.Args, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "mosn: %v\n", err)
		os.Exit(1)
	}
}

// run executes one command line, program name first, and writes help to out.
func run(args []string, out io.Writer) error {
	app := cli.NewApp()
	app.Name = "mosn"
	app.Version = version
	app.Usage = "MOSN, a network proxy, with the tcpcopy flight recorder"
	app.Writer = out
	app.Flags = startFlags()
	app.Commands = []cli.Command{
		{
			Name:   "start",
			Usage:  "start the proxy in the foreground",
			Flags:  startFlags(),
			Action: start,
		},
		{
			Name:   "stop",
			Usage:  "stop the proxy that was started with the same configuration",
			Flags:  []cli.Flag{configFlag()},
			Action: stop,
		},
		{
			Name:   "reload",
			Usage:  "accepted for compatibility; send the running proxy SIGHUP instead",
			Action: func(*cli.Context) error { return nil },
		},
		{
			Name:  "version",
			Usage: "print the versions of this program, of MOSN and of Go",
			Action: func(*cli.Context) error {
				_, err := fmt.Fprintf(out, "mosn %s (MOSN %s, %s, %s/%s)\n", version, mosnVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			},
		},
	}
	// Flags without a command mean start, as in MOSN's own main.
	app.Action = func(c *cli.Context) error {
		if c.NumFlags() == 0 {
			return cli.ShowAppHelp(c)
		}
		return start(c)
	}
	return app.Run(args)
}

// mosnVersion returns the version of the module mosn.io/mosn that is linked.
func mosnVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "mosn.io/mosn" {
				return m.Version
			}
		}
	}
	return "unknown"
}
