package cli

import (
	"time"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

// planRow is a connection of a dry run as a JSON line.
type planRow struct {
	Conn      string        `json:"conn"`
	Window    string        `json:"window"`
	Peer      string        `json:"peer"`
	Port      string        `json:"port"`
	Skipped   bool          `json:"skipped"`
	Obstacles []obstacleRow `json:"obstacles"`
	Protocol  string        `json:"protocol,omitempty"`
	Starts    float64       `json:"starts"` // seconds
	Takes     float64       `json:"takes"`  // seconds
	Sends     int           `json:"sends"`
	Bytes     uint64        `json:"bytes"`
	Turns     int           `json:"turns"`
}

type obstacleRow struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// planSummary is the last line of a dry run.
type planSummary struct {
	Summary     bool    `json:"summary"` // true
	Target      string  `json:"target"`
	Connections int     `json:"connections"`
	Skipped     int     `json:"skipped"`
	Sends       uint64  `json:"sends"`
	Bytes       uint64  `json:"bytes"`
	Seconds     float64 `json:"seconds"`
}

func planRowOf(c *replay.PlanConn, protocol replay.Protocol) planRow {
	row := planRow{
		Conn: c.Conn, Window: c.Window, Peer: c.Peer, Port: c.Port, Skipped: c.Skipped, Obstacles: obstacleRows(c.Obstacles),
		Starts: c.Starts.Seconds(), Takes: c.Takes.Seconds(), Sends: c.Sends, Bytes: c.Payload, Turns: c.Turns,
	}
	if !c.Skipped {
		row.Protocol = string(protocol)
	}
	return row
}

func obstacleRows(all []replay.Obstacle) []obstacleRow {
	rows := make([]obstacleRow, len(all))
	for i, o := range all {
		rows[i] = obstacleRow{string(o.Kind), o.Detail}
	}
	return rows
}

// replayRow is the result of a connection as a JSON line.
type replayRow struct {
	Conn        string              `json:"conn"`
	Window      string              `json:"window"`
	Loop        int                 `json:"loop"`
	Peer        string              `json:"peer"`
	Port        string              `json:"port"`
	Protocol    string              `json:"protocol,omitempty"`
	Skipped     bool                `json:"skipped"`
	Obstacles   []obstacleRow       `json:"obstacles"`
	Compared    bool                `json:"compared"`
	Error       string              `json:"error,omitempty"`
	Sent        int                 `json:"sent"`
	Sends       int                 `json:"sends"`
	Bytes       record.PerDirection `json:"bytes"`   // in: sent, out: received
	Seconds     float64             `json:"seconds"` // from connecting on
	Turns       uint64              `json:"turns"`
	Equal       uint64              `json:"equal"`
	Different   uint64              `json:"different"`
	Missing     uint64              `json:"missing"`
	Late        uint64              `json:"late"`
	Differences []differenceRow     `json:"differences"`
}

type differenceRow struct {
	Turn     int        `json:"turn"`
	Verdict  string     `json:"verdict"`
	Label    string     `json:"label,omitempty"`
	Request  []byte     `json:"request,omitempty"` // how it begins; base64
	At       int        `json:"at"`
	Note     string     `json:"note,omitempty"`
	Recorded excerptRow `json:"recorded"`
	Replayed excerptRow `json:"replayed"`
}

type excerptRow struct {
	Offset int    `json:"offset"`
	Data   []byte `json:"data"`   // base64
	Length uint64 `json:"length"` // of the whole answer
}

func replayRowOf(c *replay.Conn) replayRow {
	row := replayRow{
		Conn: c.Conn, Window: c.Window, Loop: c.Loop, Peer: c.Peer, Port: c.Port, Protocol: string(c.Protocol), Skipped: c.Skipped,
		Obstacles: obstacleRows(c.Obstacles), Compared: c.Compared, Sent: c.Sent, Sends: c.Sends, Bytes: c.Bytes, Seconds: c.Elapsed.Seconds(),
		Turns: c.Turns, Equal: c.Equal, Different: c.Different, Missing: c.Missing, Late: c.Late, Differences: make([]differenceRow, len(c.Differences)),
	}
	if c.Err != nil {
		row.Error = c.Err.Error()
	}
	for i, d := range c.Differences {
		row.Differences[i] = differenceRow{
			Turn: d.Turn, Verdict: string(d.Verdict), Label: d.Label, Request: d.Request, At: d.At, Note: d.Note,
			Recorded: excerptRow{d.Recorded.From, d.Recorded.Bytes, d.Recorded.Total},
			Replayed: excerptRow{d.Replayed.From, d.Replayed.Bytes, d.Replayed.Total},
		}
	}
	return row
}

// replaySummary is the last line of a replay.
type replaySummary struct {
	Summary     bool                `json:"summary"` // true
	Target      string              `json:"target"`
	Baseline    string              `json:"baseline,omitempty"`
	Interrupted bool                `json:"interrupted"`
	Compared    bool                `json:"compared"`
	Connections int                 `json:"connections"`
	Turns       uint64              `json:"turns"`
	Equal       uint64              `json:"equal"`
	Different   uint64              `json:"different"`
	Missing     uint64              `json:"missing"`
	Late        uint64              `json:"late"`
	Noise       uint64              `json:"noise"` // of the equal and late ones
	Failed      int                 `json:"failed"`
	Skipped     int                 `json:"skipped"`
	Sent        uint64              `json:"sent"`
	Bytes       record.PerDirection `json:"bytes"` // in: sent, out: received
	Started     time.Time           `json:"started"`
	Seconds     float64             `json:"seconds"`
	Planned     float64             `json:"planned"` // seconds
	Recorded    quantileRow         `json:"latency_recorded"`
	Replayed    quantileRow         `json:"latency_replayed"`
	Lateness    quantileRow         `json:"lateness"`
}

// quantileRow has lengths of time in microseconds.
type quantileRow struct {
	Count uint64 `json:"count"`
	P50   int64  `json:"p50_us"`
	P90   int64  `json:"p90_us"`
	P99   int64  `json:"p99_us"`
	Max   int64  `json:"max_us"`
}

func quantileRowOf(h *replay.Histogram) quantileRow {
	q := h.Quantiles()
	return quantileRow{q.Count, q.P50.Microseconds(), q.P90.Microseconds(), q.P99.Microseconds(), q.Max.Microseconds()}
}

func replaySummaryOf(r *replay.Result) replaySummary {
	return replaySummary{
		Summary: true, Target: r.Target, Baseline: r.Baseline, Interrupted: r.Interrupted, Compared: r.Compared, Connections: r.Connections,
		Turns: r.Turns, Equal: r.Equal, Different: r.Different, Missing: r.Missing, Late: r.Late, Noise: r.Noise,
		Failed: r.Failed, Skipped: r.Skipped, Sent: r.Sent, Bytes: r.Bytes, Started: r.Started.UTC(), Seconds: r.Elapsed.Seconds(), Planned: r.Planned.Seconds(),
		Recorded: quantileRowOf(&r.Recorded), Replayed: quantileRowOf(&r.Replayed), Lateness: quantileRowOf(&r.Lateness),
	}
}
