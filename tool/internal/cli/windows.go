package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) windowsCommand() *cobra.Command {
	var scan, check bool
	cmd := &cobra.Command{
		Use:   "windows [DIR]",
		Short: "List the sample windows of a dump",
		Long: `windows lists the sample windows of a dump directory, one a line, from its
index. Where there is no index it reads all records and computes the windows
from them. Windows that were due by schedule and did not open are lines of
their own, with the reason in the place of the losses.`,
		Example: `  tcpcopyctl windows
  tcpcopyctl windows --since 1h --check && echo nothing was lost
  tcpcopyctl windows -o json /var/log/dump | jq .lost_by`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	o := t.addOutput(cmd)
	cmd.Flags().BoolVar(&scan, "scan", false, "read the records too: they have windows that are not in the index, such as the open one")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 if bytes were lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		skips, err := q.Skips()
		if err != nil {
			return err
		}
		var lost uint64
		found := len(skips) > 0
		if err := t.printWindows(cmd, o, func(show func(reading.Window) error) error {
			return q.Windows(cmd.Context(), scan, func(w reading.Window) error {
				found = true
				lost += w.Lost.In + w.Lost.Out
				return show(w)
			})
		}, skips); err != nil {
			return err
		}
		if !found {
			t.explainNothing(q, o)
		}
		if check && lost > 0 {
			return fmt.Errorf("%w: %s lost", errFound, size(lost))
		}
		return nil
	}
	return cmd
}
