package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags of the command line.
type options struct {
	sizes, connections []int
	only               []string
	rounds             int
	warmup, length     time.Duration
	out                string
	write              string
}

func parseOptions() (options, error) {
	var (
		o           options
		sizes       = flag.String("sizes", "64,1024,16384,262144", "message sizes, bytes")
		connections = flag.String("connections", "1,8,256", "numbers of connections")
		only        = flag.String("only", "", "variants to run besides the first, by name; all if empty")
	)
	flag.IntVar(&o.rounds, "rounds", 5, "how often each variant has its turn; eight times as often with 8 connections and messages of 1 or 16 KiB")
	flag.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "load before each measurement")
	flag.DurationVar(&o.length, "length", 2*time.Second, "length of each measurement")
	flag.StringVar(&o.out, "out", "", "file that takes the table too")
	flag.StringVar(&o.write, diskFlag, "", "for the tool itself: the file to write to, as the standard input says")
	flag.Parse()
	var err error
	if o.sizes, err = numbers("sizes", *sizes); err != nil {
		return o, err
	}
	if o.connections, err = numbers("connections", *connections); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, nil
}

// roundsOf returns how many rounds a cell has: more where the project has a target,
// because a median of few says little on a machine that others share.
func (o options) roundsOf(connections, size int) int {
	if connections == 8 && (size == 1<<10 || size == 16<<10) {
		return 8 * o.rounds
	}
	return o.rounds
}

func numbers(flag, text string) ([]int, error) {
	var all []int
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-%s %q: valid are numbers from 1 with commas between them", flag, text)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context) error {
	o, err := parseOptions()
	if err != nil {
		return err
	}
	if o.write != "" {
		return writeAsMuch(o.write, os.Stdin, os.Stdout)
	}
	base, err := os.MkdirTemp("", "tcpcopy-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(base) }() // what stays lies in the folder for such
	fmt.Fprintln(os.Stderr, "building cmd/mosn")
	binary, err := mosnproc.Build(ctx, base, false)
	if err != nil {
		return err
	}
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer echo.Close()
	go serveEcho(echo)

	var ports mosnproc.Ports
	var proxies []*proxy
	for i, v := range variants() {
		if i > 0 && o.only != nil && !slices.Contains(o.only, v.name) {
			continue
		}
		if v.tcpdump {
			if _, err := exec.LookPath("tcpdump"); err != nil {
				fmt.Fprintln(os.Stderr, "tcpdump is not installed and is left out")
				continue
			}
		}
		p, err := v.start(ctx, binary, base, echo.Addr().String(), &ports)
		if err != nil {
			return fmt.Errorf("start MOSN for %q: %w", v.name, err)
		}
		defer func() { _ = p.process.Kill() }() // it has ended, or will with us
		proxies = append(proxies, p)
	}
	t := newTable(o)
	order := rand.New(rand.NewPCG(1, 2))
	for _, n := range o.connections {
		for _, size := range o.sizes {
			c := cell{connections: n, size: size, runs: map[string][]measurement{}}
			rounds := o.roundsOf(n, size)
			for round := range rounds {
				fmt.Fprintf(os.Stderr, "%d connections, %d bytes, round %d of %d\n", n, size, round+1, rounds)
				// The order of the variants has an influence: each round has an order of
				// its own, the same in every run of the benchmark.
				for _, i := range order.Perm(len(proxies)) {
					p := proxies[i]
					m, err := p.measure(ctx, load{connections: n, size: size, warmup: o.warmup, length: o.length})
					if err != nil {
						return fmt.Errorf("%q with %d connections and %d bytes: %w", p.variant.name, n, size, err)
					}
					c.runs[p.variant.name] = append(c.runs[p.variant.name], m)
				}
			}
			t.add(c)
		}
	}
	text := t.String()
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}
