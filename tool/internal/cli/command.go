package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// command returns the root of the commands.
func (t *tool) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tcpcopyctl",
		Short: "Read what tcpcopy has recorded, and control recorders",
		Long: `tcpcopyctl answers what went over the wire: it reads the dump directory of a
MOSN or Layotto with the tcpcopy filter, and controls the filter through MOSN's
admin server.

Exit codes: 0 done, 1 losses found where --check asks for them or differences
by replay, 2 wrong usage, 3 the data or the server could not be read (what is
intact is read all the same).`,
		Example: `  tcpcopyctl windows                          which windows are there?
  tcpcopyctl conns --window 5f3c              who talked in this one?
  tcpcopyctl show k3v9qa-17                   what did they say?
  tcpcopyctl calls --where failed             which requests failed?
  tcpcopyctl calls --by route                 how slow was each endpoint?
  tcpcopyctl export -o out.pcapng             for Wireshark
  tcpcopyctl record --for 10s                 record now
  tcpcopyctl live -w - | wireshark -k -i -    watch now
  tcpcopyctl replay --to new:8080 --dry-run   what would be sent again?`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &usageError{command: cmd.CommandPath(), err: errors.New("no command given")}
		},
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", t.width())))
	root.SetFlagErrorFunc(wrongFlag)
	root.SetHelpCommand(t.helpCommand())
	root.AddCommand(
		t.windowsCommand(), t.connsCommand(), t.callsCommand(), t.showCommand(), t.grepCommand(), t.exportCommand(),
		t.statusCommand(), t.onCommand(), t.offCommand(), t.recordCommand(), t.liveCommand(), t.recoverCommand(), t.replayCommand(),
		t.versionCommand(),
	)
	t.useOwnBashCompletion(root)
	return root
}

// exclusive checks that at most one of these flags is set.
func exclusive(cmd *cobra.Command, names ...string) error {
	var set []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			set = append(set, "--"+name)
		}
	}
	if len(set) > 1 {
		return misused(cmd, "%s exclude each other: give one of them", strings.Join(set, " and "))
	}
	return nil
}
