package cli

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

func (t *tool) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [DIR] --to HOST:PORT",
		Short: "Send recorded requests to another server, and compare its answers",
		Long: `replay opens a connection to the target for every recorded one, sends what its
client sent, in order, and compares the answers with the recorded ones. These
are real requests: what they change at the target is changed.

By default it goes turn by turn: what a client sent after it had received some
of an answer is sent when as much has come back, or when the target has been
silent for --turn-timeout, and not before its time. An answer is equal,
different, missing (nothing came) or late (equal, but it took --turn-timeout
longer than recorded). Answers in HTTP/1.1 and HTTP/2, so gRPC too, are
compared by their meaning: fields in any order, bodies however they are cut.

Connections that were not recorded as a whole are left out, and named with the
reason; --partial replays them as far as they go.

Exit codes: 0 all answers are equal or late, 1 some are not or a connection
failed, 2 wrong usage, 3 there was nothing to replay or the target could not be
reached.`,
		Example: `  tcpcopyctl replay --to new:8080 --dry-run             what would be sent?
  tcpcopyctl replay --to new:8080 --window 5f3c         as it was, at its pace
  tcpcopyctl replay --to new:8080 --baseline old:8080   what differs in both?
  tcpcopyctl replay --to new:8080 --ignore 'id=(\w+)' --ignore-json items[*].id
  tcpcopyctl replay --to new:8443 --tls --tls-ca ca.pem --report replay.html`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	o := t.addOutput(cmd)
	f := addReplayFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		options, err := f.options(cmd)
		if err != nil {
			return err
		}
		if q.Options.Filter.Only != nil {
			return misused(cmd, "--direction is %q: a replay needs both", r.direction)
		}
		loader := replay.NewLoader(replay.LoadOptions{})
		found := false
		if err := q.Each(cmd.Context(), func(r *record.Record) error {
			found = true
			return loader.Add(r)
		}); err != nil {
			return errors.Join(err, loader.Close())
		}
		recording, err := loader.Finish()
		if err != nil {
			return err
		}
		out := &replayOutput{t: t, output: o, all: f.all}
		if asJSON {
			out.rows = newJSONLines(t.stdout)
		}
		if f.dryRun {
			err = out.plan(replay.NewPlan(recording, options), options)
		} else {
			err = t.replay(cmd.Context(), recording, options, out, f.report)
		}
		if !found {
			t.explainNothing(q, o)
		}
		if closed := recording.Close(); err == nil {
			err = closed
		}
		return err
	}
	return cmd
}

// replay replays the recording and prints the result.
func (t *tool) replay(ctx context.Context, recording *replay.Recording, o replay.Options, out *replayOutput, report string) error {
	plan := replay.NewPlan(recording, o)
	if plan.Replayed == 0 {
		if err := out.plan(plan, o); err != nil {
			return err
		}
		return fmt.Errorf("nothing to replay: %d connections, %d left out", len(plan.Conns), plan.Skipped)
	}
	t.announce(plan, o)
	o.OnConn = out.conn
	replayer, err := replay.New(recording, o)
	if err != nil {
		return err
	}
	p := startProgress(ctx, t.stderr, func() string { return replayLine(replayer.Progress()) })
	result, err := replayer.Run(ctx)
	p.end()
	if err != nil {
		return err
	}
	if err := out.result(result); err != nil {
		return err
	}
	if report != "" {
		if err := writeWhole(ctx, "write report", report, result.WriteHTML); err != nil {
			return err
		}
	}
	return replayError(result)
}

// announce writes to standard error what is about to be sent where.
func (t *tool) announce(plan *replay.Plan, o replay.Options) {
	to := o.Target.String()
	if o.Baseline != nil {
		to += ", baseline " + o.Baseline.String()
	}
	pace := "as fast as it answers"
	if !math.IsInf(o.Speed, 1) {
		pace = "in " + length(plan.Length)
	}
	fmt.Fprintf(t.stderr, "tcpcopyctl: replaying %d connections, %d sends, %s, to %s, %s; %d connections are left out\n",
		plan.Replayed*max(o.Loops, 1), plan.Sends, size(plan.Bytes), printable(to), pace, plan.Skipped)
}

// replayError returns the error that the exit code of a result follows from.
func replayError(r *replay.Result) error {
	switch {
	case r.Connections > 0 && r.Unconnected == r.Connections:
		for _, c := range r.Conns {
			if c.Err != nil {
				return c.Err
			}
		}
		return fmt.Errorf("connect to %s failed", r.Target)
	case r.Interrupted:
		return &replayFoundError{"interrupted: not everything was replayed"}
	case !r.Same():
		return &replayFoundError{fmt.Sprintf("not everything is as it was: %d answers different, %d missing, %d connections failed", r.Different, r.Missing, r.Failed)}
	default:
		return nil
	}
}

// replayFoundError says that the replayed answers are not all as they were recorded.
type replayFoundError struct{ text string }

func (e *replayFoundError) Error() string { return e.text }

// Is makes the exit code that of errFound.
func (e *replayFoundError) Is(target error) bool { return target == errFound }
