package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/tool/internal/query"
)

func (t *tool) exportCommand() *cobra.Command {
	var path, form string
	cmd := &cobra.Command{
		Use:   "export [DIR] -o FILE",
		Short: "Write records to one file, for Wireshark or for scripts",
		Long: `export writes the records of a dump to one file: pcapng, which Wireshark and
tcpdump open, or JSON lines. The name of the file says which, or --as. Records
of hex_meta logs become packets too: with the real addresses, and headers that
are made up for the purpose.

Where Wireshark would not recognise by itself what a port's connections speak,
export prints the options with which tshark does, "Decode As" in Wireshark's
window.`,
		Example: `  tcpcopyctl export -o out.pcapng
  tcpcopyctl export --conn k3v9qa-17 -o - | tshark -r - -z follow,tcp,ascii,0
  tcpcopyctl export -o records.jsonl`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	cmd.Flags().StringVarP(&path, "output", "o", "", "the `file` to write, - for standard output")
	cmd.Flags().StringVar(&form, "as", "", "`form` of the file: "+formNames()+" (by default as its name ends, or pcapng)")
	complete(cmd, "as", oneOf(strings.Split(formNames(), ", ")...))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		if path == "" {
			return misused(cmd, "--output is not set, valid: a file, or - for standard output")
		}
		chosen, err := chooseForm(form, path)
		if err != nil {
			return misused(cmd, "%w", err)
		}
		if path == "-" {
			if chosen.name == "pcapng" && isTerminal(t.screen) {
				return misused(cmd, "a capture is not for a terminal: redirect the output, or set --output to a file")
			}
			return t.export(cmd.Context(), q, chosen, t.stdout)
		}
		return t.exportFile(cmd, q, chosen, path)
	}
	return cmd
}

// exportFile writes to the file at path, see writeWhole.
func (t *tool) exportFile(cmd *cobra.Command, q *query.Query, form *exportForm, path string) error {
	if from, err := q.Locate(); err == nil && from != "-" && isPartOf(path, from) {
		return misused(cmd, "--output is %s, which is a part of the dump that is read", path)
	}
	return writeWhole(cmd.Context(), "export", path, func(w io.Writer) error { return t.export(cmd.Context(), q, form, w) })
}

// isPartOf reports whether the existing file at path is what is read at from, or
// in it.
func isPartOf(path, from string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(from)
	if err != nil {
		return false
	}
	if !b.IsDir() {
		return os.SameFile(a, b)
	}
	dir, err := os.Stat(filepath.Dir(path))
	return err == nil && os.SameFile(dir, b)
}

// export writes what q wants to w. Where that is nothing, it says why.
func (t *tool) export(ctx context.Context, q *query.Query, form *exportForm, w io.Writer) error {
	n, err := form.write(t, ctx, q, w)
	if err == nil && n == 0 {
		t.explainNothing(q, &output{t: t})
	}
	return err
}
