package cli

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
)

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

// time returns t in the zone that the user wants.
func (o *output) time(t time.Time, layout string) string {
	if o.utc {
		return t.UTC().Format(layout)
	}
	return t.Local().Format(layout)
}
