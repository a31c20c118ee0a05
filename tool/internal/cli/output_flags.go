package cli

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// output is the part of a command line that says how rows are printed.
type output struct {
	t      *tool
	format string
	utc    bool
	wide   bool
}

// addOutput adds the flags of a command that prints rows as a table or as JSON lines.
func (t *tool) addOutput(cmd *cobra.Command) *output {
	o := t.addPlainOutput(cmd)
	cmd.Flags().BoolVar(&o.wide, "wide", false, "print whole ids, dates and texts, however long the lines become")
	return o
}

// addPlainOutput is addOutput for a command whose lines have nothing to leave out.
func (t *tool) addPlainOutput(cmd *cobra.Command) *output {
	o := t.addFormat(cmd)
	cmd.Flags().BoolVar(&o.utc, "utc", false, "show times in UTC instead of the local zone")
	return o
}

// addFormat is addOutput for a command without rows and times.
func (t *tool) addFormat(cmd *cobra.Command) *output {
	o := &output{t: t}
	cmd.Flags().StringVarP(&o.format, "output", "o", "table", "`form` of the output: table, or json for JSON lines")
	complete(cmd, "output", oneOf("table", "json"))
	return o
}

// json reports whether JSON lines are wanted.
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

// newJSONLines returns an encoder that writes each value to w as one line.
func newJSONLines(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// zone returns the zone in which times are shown.
func (o *output) zone() *time.Location {
	if o.utc {
		return time.UTC
	}
	return time.Local
}

// time returns t in the zone that the user wants.
func (o *output) time(t time.Time, layout string) string { return t.In(o.zone()).Format(layout) }

// limit returns how long lines may be, in columns of the terminal; 0 means any length.
func (o *output) limit() int {
	if o.wide {
		return 0
	}
	return o.t.width()
}

// fits reports whether lines may be as long as columns columns of the terminal.
func (o *output) fits(columns int) bool { return o.wide || o.limit() >= columns }
