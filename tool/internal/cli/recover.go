package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) recoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover [DIR]",
		Short: "Write what a killed process left in its spool",
		Long: `recover writes what killed processes had accepted for a dump directory and not
yet written: the records go to the flow files, the windows to the index, marked
as recovered. It lists the windows. The next start of a recorder does the same;
use this when there is none. Processes that are alive are left alone.`,
		Example: `  tcpcopyctl recover
  tcpcopyctl recover /var/log/dump && tcpcopyctl windows /var/log/dump`,
		Args: atMost(1),
	}
	o := t.addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := t.query(cmd.Context(), args).Locate()
		if err != nil {
			return err
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return err
		}
		config := persistence.DefaultConfig()
		config.Dir, config.MaxTotal = dir, 0 // zero: this command removes nothing
		var faults []error
		found, err := persistence.Recover(config, persistence.Host{
			Alert: func(what string, err error) { faults = append(faults, fmt.Errorf("%s: %w", what, err)) },
		})
		if err != nil {
			return err
		}
		windows := []reading.Window{}
		for i := range found {
			r := &found[i]
			if r.Err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", r.Spool, r.Err))
			}
			if r.Window.Window != "" {
				windows = append(windows, reading.Window{WindowLine: &r.Window})
			}
		}
		if len(found) == 0 {
			fmt.Fprintf(t.stderr, "tcpcopyctl: no killed process has left anything for %s\n", printable(dir))
			return nil
		}
		return errors.Join(t.printWindows(cmd, o, eachOf(windows), nil), errors.Join(faults...))
	}
	return cmd
}
