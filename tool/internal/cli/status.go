package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// status is the status that the admin API returns.
type status struct {
	Run    string `json:"run"`
	Switch struct {
		Effective    string           `json:"effective"`
		App          model.DumpConfig `json:"app"`
		Global       model.DumpConfig `json:"global"`
		AppChange    *change          `json:"app_change"`
		GlobalChange *change          `json:"global_change"`
	} `json:"switch"`
	Window *struct {
		ID       string           `json:"id"`
		Trigger  string           `json:"trigger"`
		Opened   time.Time        `json:"opened"`
		Closes   time.Time        `json:"closes"`
		Paused   bool             `json:"paused"`
		Guard    string           `json:"guard"`
		Accounts *record.Accounts `json:"accounts"`
	} `json:"window"`
	Opening *transition `json:"opening"`
	Closing *transition `json:"closing"`
	Guard   struct {
		Enabled   *bool   `json:"enabled"`
		Available bool    `json:"available"`
		CPU       float64 `json:"cpu"`
		Mem       float64 `json:"mem"`
		Source    string  `json:"source"`
		Err       string  `json:"err"`
		Downs     uint64  `json:"downs"`
	} `json:"guard"`
	Next    *time.Time `json:"next"`
	Skipped struct {
		Windows uint64        `json:"windows"`
		Reason  string        `json:"reason"`
		List    []record.Skip `json:"list"` // the oldest first
	} `json:"skipped"`
	Buffer struct {
		Used   uint64 `json:"used"`
		Size   uint64 `json:"size"`
		Window uint64 `json:"window"`
	} `json:"buffer"`
	Totals struct {
		Windows uint64 `json:"windows"`
		record.Accounts
	} `json:"totals"`
	Output struct {
		Dir       string   `json:"dir"`
		Formats   []string `json:"formats"`
		Listeners []string `json:"listeners"`
	} `json:"output"`
	Owners  map[string]string `json:"owners"` // by part: the listener
	Refused []struct {
		Listener string `json:"listener"`
		Error    string `json:"error"`
	} `json:"refused"`
}

// transition is a window that waits for the disk.
type transition struct {
	ID      string    `json:"id"`
	Trigger string    `json:"trigger"`
	Since   time.Time `json:"since"`
}

// change is the last attempt to change a layer of the switch.
type change struct {
	Source string    `json:"source"`
	Time   time.Time `json:"time"`
	Error  string    `json:"error"`
}

func (c *adminClient) status(ctx context.Context) (*status, json.RawMessage, error) {
	var a statusAnswer
	if err := c.do(ctx, http.MethodGet, adminStatus, nil, nil, &a); err != nil {
		return nil, nil, err
	}
	return &a.status, a.text, nil
}

// statusAnswer is the answer to a status request.
type statusAnswer struct {
	status
	text json.RawMessage // all of it
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *statusAnswer) UnmarshalJSON(text []byte) error {
	a.text = bytes.Clone(text)
	return json.Unmarshal(text, &a.status)
}

// missing implements answer.
func (a *statusAnswer) missing() string {
	switch {
	case a.Switch.Effective != model.SwitchOn && a.Switch.Effective != model.SwitchOff:
		return "switch.effective"
	case a.Switch.App.Switch == "":
		return "switch.app"
	case a.Switch.Global.Switch == "":
		return "switch.global"
	}
	return ""
}

func (t *tool) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what a running recorder is doing",
		Example: `  tcpcopyctl status
  tcpcopyctl status --admin http://10.0.0.7:34901 --token-file token -o json`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	o := t.addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		c, err := a.client(cmd)
		if err != nil {
			return err
		}
		s, text, err := c.status(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			var line bytes.Buffer
			if err := json.Compact(&line, text); err != nil {
				return err
			}
			_, err = fmt.Fprintln(t.stdout, line.String())
			return err
		}
		return t.printStatus(o, s)
	}
	return cmd
}

func (t *tool) printStatus(o *output, s *status) error {
	var b []byte
	colour := t.colours()
	paint := "" // of the next line
	line := func(name, format string, args ...any) {
		text := printable(fmt.Sprintf(format, args...))
		for _, part := range wrapped(text, t.width()-statusIndent) {
			b = fmt.Appendf(b, "%-*s", statusIndent, name)
			b = append(colour.append(b, paint, part), '\n')
			name = ""
		}
		paint = ""
	}
	line("switch", "%s", s.Switch.Effective)
	line("  app", "%s", layerText(&s.Switch.App))
	changed := func(c *change) {
		if c == nil {
			return
		}
		outcome := "in force"
		if c.Error != "" {
			outcome, paint = "refused: "+c.Error, colour.failed
		}
		line("", "changed %s by %s: %s", o.moment(c.Time), c.Source, outcome)
	}
	changed(s.Switch.AppChange)
	line("  global", "%s", layerText(&s.Switch.Global))
	changed(s.Switch.GlobalChange)
	switch {
	case s.Window != nil:
		paused := ""
		if s.Window.Paused {
			paused, paint = ", paused by the guard", colour.lost
		}
		if s.Window.Guard == record.GuardOff {
			paused = ", whatever the guard says"
		}
		line("window", "%s, %s, %s to %s%s", o.window(s.Window.ID), s.Window.Trigger, o.moment(s.Window.Opened), o.time(s.Window.Closes, time.TimeOnly), paused)
	case s.Opening != nil:
		line("window", "%s, %s, is being opened since %s", o.window(s.Opening.ID), s.Opening.Trigger, o.moment(s.Opening.Since))
	case s.Closing != nil:
		line("window", "none, %s is being written out since %s", o.window(s.Closing.ID), o.moment(s.Closing.Since))
	case s.Next != nil:
		line("window", "none, the next one opens %s", o.due(*s.Next))
	default:
		line("window", "none")
	}
	s.eachSkip(func(skip *record.Skip) {
		paint = colour.lost
		line("skipped", "%s", skipLine(o, skip))
	})
	switch {
	case s.Guard.Enabled != nil && !*s.Guard.Enabled:
		line("guard", "off")
	case s.Guard.Available:
		line("guard", "lets record: CPU %.1f %%, memory %.1f %%%s", s.Guard.CPU, s.Guard.Mem, inBrackets(s.Guard.Source))
	case s.Guard.Err != "":
		paint = colour.failed
		line("guard", "lets nothing be recorded: %s", s.Guard.Err)
	default:
		paint = colour.lost
		line("guard", "lets nothing be recorded: CPU %.1f %%, memory %.1f %%%s", s.Guard.CPU, s.Guard.Mem, inBrackets(s.Guard.Source))
	}
	if n := s.Guard.Downs; n == 1 {
		line("", "it has gone down once")
	} else if n > 1 {
		line("", "it has gone down %d times", n)
	}
	buffer := fmt.Sprintf("%s of %s in use", size(s.Buffer.Used), size(s.Buffer.Size))
	if w := s.Buffer.Window; w > 0 && w < s.Buffer.Size {
		buffer += fmt.Sprintf("; the window has %s, because more did not fit", size(w))
	}
	line("buffer", "%s", buffer)
	if s.Totals.Lost != (record.PerDirection{}) {
		paint = colour.lost
	}
	line("totals", "%d windows, %d connections, in %s, out %s, lost %s", s.Totals.Windows, s.Totals.Connections,
		size(s.Totals.Seen.In), size(s.Totals.Seen.Out), losses(&s.Totals.Accounts))
	line("output", "%s to %s", strings.Join(s.Output.Formats, ", "), s.Output.Dir)
	slices.Sort(s.Output.Listeners)
	line("listeners", "%s", strings.Join(s.Output.Listeners, ", "))
	for _, part := range slices.Sorted(maps.Keys(s.Owners)) {
		line("", "%s is configured by %s", part, s.Owners[part])
	}
	for _, r := range s.Refused {
		paint = colour.failed
		line("refused", "%s: %s", r.Listener, r.Error)
	}
	_, err := t.stdout.Write(b)
	return err
}

// statusIndent is where the texts of a status begin, in columns.
const statusIndent = 10

// wrapped returns the lines of a text, none of which is longer than columns unless a word is.
func wrapped(text string, columns int) []string {
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		if line != "" && textWidth(line)+1+textWidth(word) > columns {
			lines, line = append(lines, line), ""
		} else if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// shownSkips is how many of the last skips the status prints.
const shownSkips = 3

// eachSkip calls f for the last skips, the newest first.
func (s *status) eachSkip(f func(*record.Skip)) {
	list := s.Skipped.List
	for i := len(list) - 1; i >= max(0, len(list)-shownSkips); i-- {
		f(&list[i])
	}
}

// skipLine returns windows that did not open as a line for people.
func skipLine(o *output, s *record.Skip) string {
	if s.Windows > 1 {
		return fmt.Sprintf("%d %s windows, %s to %s: %s", s.Windows, s.Trigger, o.moment(s.First), o.time(s.Last, time.TimeOnly), skipText(s))
	}
	return fmt.Sprintf("a %s window, %s: %s", s.Trigger, o.moment(s.Last), skipText(s))
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// layerText returns a layer of the switch for people.
func layerText(c *model.DumpConfig) string {
	if c.Switch != model.SwitchOn {
		return c.Switch
	}
	return fmt.Sprintf("%s, every %d s for %d s, below %g %% CPU and %g %% memory", c.Switch, c.Interval, c.Duration, c.CpuMaxRate, c.MemMaxRate)
}
