package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// source is the part of a command line that says which records are read.
type source struct {
	t         *tool
	window    string
	conn      string
	port      string
	peer      string
	since     string
	until     string
	direction string
	format    string

	streams bool // rows are printed while records are read
}

// source adds the common filters to a command.
func (t *tool) source(cmd *cobra.Command) *source {
	s := &source{t: t}
	f := cmd.Flags()
	f.StringVar(&s.window, "window", "", "only this window: its `id` or the first characters of it")
	f.StringVar(&s.conn, "conn", "", "only this connection: its `identity`, such as k3v9qa-17")
	f.StringVar(&s.port, "port", "", "only this listener: its `port`, or the path of its Unix socket")
	f.StringVar(&s.peer, "peer", "", "only these clients: an `address`, address:port or network (10.0.0.0/8)")
	f.StringVar(&s.since, "since", "", "only from this `time` on (2006-01-02 15:04:05, or 10m for ten minutes ago)")
	f.StringVar(&s.until, "until", "", "only before this `time`")
	f.StringVar(&s.direction, "direction", "both", "only bytes that went `in` (client to proxy), out, or both")
	f.StringVar(&s.format, "format", "any", "what to read of a directory with several `formats`: any, hex, pcapng")
	return s
}

// options turns the flags into what dump.Open takes.
func (s *source) options(cmd *cobra.Command) (dump.Options, error) {
	o := dump.Options{Stdin: s.t.stdin, Filter: dump.Filter{Window: s.window, Conn: s.conn, Port: s.port}}
	var errs []error
	bad := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s is %w", flag, err))
		}
	}
	var err error
	o.Filter.Peer, o.Filter.PeerPort, err = parsePeer(s.peer)
	bad("peer", err)
	if s.since != "" {
		o.Filter.Since, err = parseTime(s.since, s.t.now())
		bad("since", err)
	}
	if s.until != "" {
		o.Filter.Until, err = parseTime(s.until, s.t.now())
		bad("until", err)
	}
	in, out := record.In, record.Out
	switch s.direction {
	case "both":
	case "in":
		o.Filter.Only = &in
	case "out":
		o.Filter.Only = &out
	default:
		bad("direction", fmt.Errorf("%q, valid: in, out, both", s.direction))
	}
	switch s.format {
	case "any":
	case "hex":
		o.Format = dump.FormatHex
	case "pcapng":
		o.Format = dump.FormatPcapng
	default:
		bad("format", fmt.Errorf("%q, valid: any, hex, pcapng", s.format))
	}
	if err := errors.Join(errs...); err != nil {
		return o, misused(cmd, "%w", err)
	}
	return o, nil
}

func parsePeer(text string) (netip.Prefix, uint16, error) {
	if text == "" {
		return netip.Prefix{}, 0, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), 0, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), 0, nil
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		host := a.Addr().Unmap()
		return netip.PrefixFrom(host, host.BitLen()), a.Port(), nil
	}
	return netip.Prefix{}, 0, fmt.Errorf("%q, valid: an address, address:port, or network such as 10.0.0.0/8", text)
}

// path returns the directory or file that a command reads: its argument, or the
// default directory.
func (s *source) path(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	tried := []string{layout.DefaultDir}
	if home := s.t.getenv("HOME"); home != "" {
		tried = append(tried, layout.HomeDir(home))
	}
	for _, dir := range tried {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no directory given, and none of the default ones exists: %s", strings.Join(tried, ", "))
}

// each opens what the command line names and calls f with every record. It
// reports damage and goes on behind it.
func (s *source) each(ctx context.Context, args []string, o dump.Options, f func(*record.Record) error) error {
	path, err := s.path(args)
	if err != nil {
		return err
	}
	d, err := dump.Open([]string{path}, o)
	var damaged *record.DamageError
	if errors.As(err, &damaged) {
		s.t.damage.add(damaged)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dump: %w", err)
	}
	defer d.Close()
	// A bar between rows on the same terminal would tear them.
	if o.Wait == nil && !(s.streams && isTerminal(s.t.screen)) {
		p := startProgress(ctx, s.t.stderr, "reading", d.Progress)
		defer p.end()
	}
	return s.t.drain(ctx, d, f)
}

// drain calls f with every record of r.
func (t *tool) drain(ctx context.Context, r dump.Reader, f func(*record.Record) error) error {
	legacy := false
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rec, err := r.Next()
		var damaged *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &damaged):
			t.damage.add(damaged)
			continue
		case err != nil:
			return err
		}
		if rec.Legacy && !legacy {
			legacy = true
			fmt.Fprintln(t.stderr, `tcpcopyctl: these are hex lines without connections: all that a port received is shown as one stream, "all-<port>"`)
		}
		if err := f(rec); err != nil {
			return err
		}
	}
}

// output is the part of a command line that says how rows are printed.
type output struct {
	format string
	utc    bool
}

func addOutput(cmd *cobra.Command) *output {
	o := &output{}
	cmd.Flags().StringVarP(&o.format, "output", "o", "table", "`form` of the output: table, or json for JSON lines")
	cmd.Flags().BoolVar(&o.utc, "utc", false, "show times in UTC instead of the local zone")
	return o
}

// json tells whether JSON lines are wanted.
func (o *output) json(cmd *cobra.Command) (bool, error) {
	switch o.format {
	case "table":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, misused(cmd, "--output is %q, valid: table, json", o.format)
	}
}
