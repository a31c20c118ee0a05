package replay

import (
	"errors"
	"fmt"
	"math"
	"time"

	"mosn.io/tcpcopy/internal/clock"
)

// Mode says what a request waits for, besides its time.
type Mode string

// The modes.
const (
	// Turns sends what the recorded client sent after it had received some of the
	// answers when as much has come back.
	Turns Mode = "turns"
	// Timed sends everything at its time, whatever has come back.
	Timed Mode = "timed"
)

// Options say how a Recording is replayed. Only Target is required.
type Options struct {
	Target Server

	// Baseline, when not nil, is the old build: it gets the same requests at the
	// same time, and where its answers differ from the recorded ones, those of the
	// target may.
	Baseline *Server

	Mode Mode // Turns if empty

	// Speed is how fast time passes, compared with the recording: 2 is twice as
	// fast. Zero means 1; math.Inf(1) sends as soon as Mode allows it.
	Speed float64
	Loops int // how many times everything is replayed; zero means once

	// Concurrency is how many connections to the target are open at a time. Others
	// wait, and are late. Zero means 256.
	Concurrency int
	Rate        float64 // sends per second, of all connections together, those to the baseline too; zero means any number

	// TurnTimeout is how long a target may be silent, beyond what the recorded
	// answer took, before the replay goes on without the rest of an answer. Zero
	// means 2 s.
	TurnTimeout    time.Duration
	ConnectTimeout time.Duration // of a connection, with its TLS handshake; zero means 5 s

	// Partial lets sessions take part that began before their window, have
	// gaps or have no recorded answers, as far as they go.
	Partial bool
	// SendOnly leaves the comparing out.
	SendOnly bool
	// OnlyBytes compares HTTP like any other protocol: every byte.
	OnlyBytes bool
	Rules     Rules

	// MaxAnswer is how many bytes of an answer are kept. Bytes after them are
	// compared without rules, and their differences are not shown. Zero means 1 MiB.
	MaxAnswer      int
	MaxDifferences int // that are kept of a connection; zero means 20
	MaxConns       int // that are kept in the Result; zero means 1000

	// OnConn, when not nil, is called with each connection that has been replayed or
	// left out, one call at a time. With a Baseline, connections with differences
	// may be reported at the end of the replay. It must not keep its argument longer
	// than the Result.
	OnConn func(*Conn)

	clock clock.Clock // nil means the system's; set by tests only; connecting goes by the system's in any case
}

// The defaults of Options.
const (
	DefaultTurnTimeout = 2 * time.Second
	DefaultConcurrency = 256

	defaultConnectTimeout = 5 * time.Second
	defaultMaxAnswer      = 1 << 20
	defaultMaxDifferences = 20
	defaultMaxConns       = 1000
)

// withDefaults returns o with its zero fields filled in, or an error that names
// every field that makes no sense.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if err := o.Target.validate(); err != nil {
		errs = append(errs, fmt.Errorf("target: %w", err))
	}
	if o.Baseline != nil {
		if err := o.Baseline.validate(); err != nil {
			errs = append(errs, fmt.Errorf("baseline: %w", err))
		}
		if o.SendOnly {
			errs = append(errs, errors.New("baseline: nothing is compared with it"))
		}
	}
	if o.Mode == "" {
		o.Mode = Turns
	}
	if o.Mode != Turns && o.Mode != Timed {
		errs = append(errs, fmt.Errorf("mode %q, valid: %s, %s", o.Mode, Turns, Timed))
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Speed < 0 || math.IsNaN(o.Speed) {
		errs = append(errs, fmt.Errorf("speed %v, valid: more than 0", o.Speed))
	}
	if o.Rate < 0 || math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0) {
		errs = append(errs, fmt.Errorf("rate %v, valid: sends a second, or 0 for any number", o.Rate))
	}
	number := func(name string, n *int, byDefault int) {
		if *n < 0 {
			errs = append(errs, fmt.Errorf("%s %d, valid: 1 or more", name, *n))
		}
		if *n == 0 {
			*n = byDefault
		}
	}
	number("loops", &o.Loops, 1)
	number("concurrency", &o.Concurrency, DefaultConcurrency)
	number("most bytes of an answer", &o.MaxAnswer, defaultMaxAnswer)
	number("most differences of a connection", &o.MaxDifferences, defaultMaxDifferences)
	number("most connections of a result", &o.MaxConns, defaultMaxConns)
	length := func(name string, d *time.Duration, byDefault time.Duration) {
		if *d < 0 {
			errs = append(errs, fmt.Errorf("%s %v, valid: more than 0", name, *d))
		}
		if *d == 0 {
			*d = byDefault
		}
	}
	length("turn timeout", &o.TurnTimeout, DefaultTurnTimeout)
	length("connect timeout", &o.ConnectTimeout, defaultConnectTimeout)
	if o.clock == nil {
		o.clock = clock.System()
	}
	return o, errors.Join(errs...)
}

// unpaced reports whether nothing waits for its time.
func (o *Options) unpaced() bool { return math.IsInf(o.Speed, 1) }

// scaled returns how long d of the recording takes in the replay.
func (o *Options) scaled(d time.Duration) time.Duration {
	if o.unpaced() {
		return 0
	}
	return time.Duration(float64(d) / o.Speed)
}
