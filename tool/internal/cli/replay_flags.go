package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/replay"
)

// replayFlags is the part of a command line that says how to replay.
type replayFlags struct {
	to, baseline   string
	dryRun         bool
	partial        bool
	mode           string
	speed          string
	loop           int
	concurrency    int
	rate           float64
	turnTimeout    time.Duration
	connectTimeout time.Duration

	compare    bool
	protocol   string
	ignore     []string
	headers    []string
	json       []string
	all        bool
	report     string
	tls        bool
	tlsCA      string
	tlsCert    string
	tlsKey     string
	serverName string
}

func addReplayFlags(cmd *cobra.Command) *replayFlags {
	f := &replayFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "the target: `host:port`, or the path of a Unix socket (required)")
	flags.StringVar(&f.baseline, "baseline", "", "the old build's `host:port`: it gets the same requests, and where it differs from the recording the target may")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be sent, how long it would take, and what is left out")
	flags.BoolVar(&f.partial, "partial", false, "also replay connections that were not recorded as a whole, as far as they go")
	flags.StringVar(&f.mode, "mode", string(replay.Turns), "what a request waits for: `turns` (its time and the answers before it) or timed (its time alone)")
	flags.StringVar(&f.speed, "speed", "1", "how fast time passes: a `factor` such as 2 or 0.5, or max")
	flags.IntVar(&f.loop, "loop", 1, "replay everything this many `times`")
	flags.IntVar(&f.concurrency, "concurrency", replay.DefaultConcurrency, "`connections` at a time at most")
	flags.Float64Var(&f.rate, "rate", 0, "`sends` a second at most, of all connections together (0 for any number)")
	flags.DurationVar(&f.turnTimeout, "turn-timeout", replay.DefaultTurnTimeout, "how `long` the target may be silent, beyond what the recorded answer took")
	flags.DurationVar(&f.connectTimeout, "connect-timeout", 5*time.Second, "how `long` connecting may take")

	flags.BoolVar(&f.compare, "compare", true, "compare the answers; --compare=false only sends")
	flags.StringVar(&f.protocol, "protocol", "auto", "how answers are compared: `auto` (HTTP by its meaning) or bytes")
	flags.StringArrayVar(&f.ignore, "ignore", nil, "ignore what this `regexp` matches in answers, or its groups in parentheses (repeatable)")
	flags.StringSliceVar(&f.headers, "ignore-header", []string{"Date"}, "ignore these HTTP header `fields`")
	flags.StringSliceVar(&f.json, "ignore-json", nil, "ignore the values at these `paths` of JSON bodies, such as items[*].id")
	flags.BoolVar(&f.all, "all", false, "list the connections without differences too")
	flags.StringVar(&f.report, "report", "", "also write a report to this HTML `file`")

	flags.BoolVar(&f.tls, "tls", false, "speak TLS to the target and the baseline")
	flags.StringVar(&f.tlsCA, "tls-ca", "", "trust the certificates in this PEM `file` instead of the system's")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "the client certificate's PEM `file`")
	flags.StringVar(&f.tlsKey, "tls-key", "", "the client key's PEM `file`")
	flags.StringVar(&f.serverName, "tls-server-name", "", "the `name` that the target's certificate must be for (by default its host)")
	complete(cmd, "mode", oneOf(string(replay.Turns), string(replay.Timed)))
	complete(cmd, "protocol", oneOf("auto", "bytes"))
	return f
}

// options turns the flags into what package replay takes.
func (f *replayFlags) options(cmd *cobra.Command) (replay.Options, error) {
	o := replay.Options{
		Mode: replay.Mode(f.mode), Loops: f.loop, Concurrency: f.concurrency, Rate: f.rate, TurnTimeout: f.turnTimeout, ConnectTimeout: f.connectTimeout,
		Partial: f.partial, SendOnly: !f.compare, OnlyBytes: f.protocol == "bytes",
		Rules: replay.Rules{JSON: f.json},
	}
	var errs []error
	wrong := func(flag, format string, args ...any) {
		errs = append(errs, fmt.Errorf("--"+flag+" is "+format, args...))
	}
	var err error
	switch {
	case f.to == "":
		errs = append(errs, errors.New("--to is not set, valid: host:port, or the path of a Unix socket"))
	default:
		if o.Target, err = replay.ParseServer(f.to); err != nil {
			wrong("to", "an %w", err)
		}
	}
	if f.baseline != "" {
		server, err := replay.ParseServer(f.baseline)
		if err != nil {
			wrong("baseline", "an %w", err)
		}
		o.Baseline = &server
		if !f.compare {
			wrong("baseline", "%q, but --compare=false compares nothing", f.baseline)
		}
	}
	if o.Speed, err = parseSpeed(f.speed); err != nil {
		wrong("speed", "%w", err)
	}
	if o.Mode != replay.Turns && o.Mode != replay.Timed {
		wrong("mode", "%q, valid: %s, %s", f.mode, replay.Turns, replay.Timed)
	}
	if f.protocol != "auto" && f.protocol != "bytes" {
		wrong("protocol", "%q, valid: auto, bytes", f.protocol)
	}
	for _, flag := range []struct {
		name  string
		value int
	}{{"loop", f.loop}, {"concurrency", f.concurrency}} {
		if flag.value < 1 {
			wrong(flag.name, "%d, valid: 1 or more", flag.value)
		}
	}
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{{"turn-timeout", f.turnTimeout}, {"connect-timeout", f.connectTimeout}} {
		if flag.value <= 0 {
			wrong(flag.name, "%v, valid: more than 0", flag.value)
		}
	}
	if f.rate < 0 || math.IsNaN(f.rate) || math.IsInf(f.rate, 0) {
		wrong("rate", "%v, valid: sends a second, or 0 for any number", f.rate)
	}
	for _, text := range f.ignore {
		expression, err := regexp.Compile(text)
		if err != nil {
			wrong("ignore", "%q: %w", text, err)
			continue
		}
		o.Rules.Ignore = append(o.Rules.Ignore, expression)
	}
	for _, name := range f.headers {
		if name != "" {
			o.Rules.Headers = append(o.Rules.Headers, name)
		}
	}
	if err := o.Rules.Validate(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, f.usesTLS()...)
	if err := errors.Join(errs...); err != nil {
		return o, misused(cmd, "%w", err)
	}
	if f.tls {
		o.Target.TLS, err = f.tlsConfig(cmd.Context())
		if o.Baseline != nil {
			o.Baseline.TLS = o.Target.TLS
		}
	}
	return o, err
}

// parseSpeed reads a factor or "max".
func parseSpeed(text string) (float64, error) {
	if text == "max" {
		return math.Inf(1), nil
	}
	factor, err := strconv.ParseFloat(text, 64)
	if err != nil || factor <= 0 || math.IsInf(factor, 0) || math.IsNaN(factor) {
		return 0, fmt.Errorf("%q, valid: a factor such as 2 or 0.5, or max", text)
	}
	return factor, nil
}

// usesTLS returns what is wrong with the flags about TLS.
func (f *replayFlags) usesTLS() []error {
	var errs []error
	if !f.tls {
		for name, value := range map[string]string{"tls-ca": f.tlsCA, "tls-cert": f.tlsCert, "tls-key": f.tlsKey, "tls-server-name": f.serverName} {
			if value != "" {
				errs = append(errs, fmt.Errorf("--%s is %q without --tls", name, value))
			}
		}
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key need each other"))
	}
	return errs
}

// maxPEM bounds the files of certificates and keys, bytes.
const maxPEM = 16 << 20

func (f *replayFlags) tlsConfig(ctx context.Context) (*tls.Config, error) {
	c := &tls.Config{ServerName: f.serverName, MinVersion: tls.VersionTLS12}
	if f.tlsCA != "" {
		text, err := readArgument(ctx, f.tlsCA, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("read --tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read --tls-ca: %s has no certificate in PEM", f.tlsCA)
		}
	}
	if f.tlsCert != "" {
		cert, err := readArgument(ctx, f.tlsCert, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("read --tls-cert: %w", err)
		}
		key, err := readArgument(ctx, f.tlsKey, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("read --tls-key: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read --tls-cert and --tls-key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
