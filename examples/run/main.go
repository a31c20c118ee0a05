// Command run is what `make run` runs: it starts bin/mosn with a configuration of
// configs/, waits until it serves, and prints what a user can do next. It must be started
// in the folder of the repository.
//
//	bin/run -config configs/http.json
//
// The configuration gets a dump directory in that folder, where bin/tcpcopyctl finds it
// without an argument. What MOSN logs goes to files in logs/. Where nothing serves the
// upstream, run serves it itself. SIGINT, SIGTERM and SIGHUP end MOSN in order, a second one at
// once.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	config := flag.String("config", "configs/http.json", "`FILE` with MOSN's configuration")
	flag.Parse()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // "make run | head" must not leave MOSN behind
	if err := run(os.Stdout, *config, signals); err != nil {
		fmt.Fprintf(os.Stderr, "make run: %v\n", err)
		os.Exit(1)
	}
}

// Files of a run, relative to the repository's folder. MOSN derives its own folders from
// the place of the configuration (pkg/types/config.go, InitDefaultPath): beside one in
// logs/ they are the same as with the files of configs/.
const (
	logFolder  = "logs"
	startLog   = logFolder + "/start.log" // what MOSN writes before it opens its log, and to its outputs
	configFile = logFolder + "/run.json"  // the configuration with the dump directory
	binary     = "bin/mosn"
)

// run runs MOSN until it ends, or a signal ends it. What is for the user goes to out.
func run(out io.Writer, path string, signals <-chan os.Signal) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	text, err := c.withDumpDir(filepath.Join(root, dumpDir))
	if err != nil {
		return err
	}
	if err := c.addressesAreFree(); err != nil {
		return err
	}
	if err := os.MkdirAll(logFolder, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(configFile, text, 0o600); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	servers, err := c.serveUpstreams(ctx)
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		servers.Wait()
	}()

	p, err := start(c)
	if err != nil {
		return err
	}
	ended, err := p.ready(signals)
	if err != nil {
		return err
	}
	if !ended {
		if words := p.complaints(); len(words) > 0 {
			fmt.Fprintf(os.Stderr, "MOSN runs, but says:\n  %s\n", strings.Join(words, "\n  "))
		}
		c.printNext(out, root)
		if err := p.wait(out, signals); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "MOSN has ended. What was recorded stays in %s\n", dumpDir)
	return nil
}
