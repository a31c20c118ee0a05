package cli

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// docs/tcpcopyctl.md has all commands and flags, and no others.
func TestDocsHaveAllFlags(t *testing.T) {
	page, err := os.ReadFile("../../../docs/tcpcopyctl.md")
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile("`(--[a-z][a-z-]*)")
	documented := map[string]bool{}
	for _, m := range flag.FindAllSubmatch(page, -1) {
		documented[string(m[1])] = true
	}
	known := map[string]bool{"--help": true, "--version": true}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.HasParent() && !cmd.Parent().HasParent() && cmd.Name() != "help" && !bytes.Contains(page, []byte("`"+cmd.Name())) {
			t.Errorf("the command %q is missing", cmd.Name())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			name := "--" + f.Name
			if !documented[name] && !known[name] && !f.Hidden {
				t.Errorf("%s of %q is missing", name, cmd.CommandPath())
			}
			known[name] = true
		})
	}
	walk(newTool(nil, os.Stdout, os.Stderr).command())
	for name := range documented {
		if !known[name] {
			t.Errorf("%s is no flag of any command", name)
		}
	}
}
