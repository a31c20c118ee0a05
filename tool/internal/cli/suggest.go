package cli

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mosn.io/tcpcopy/tool/internal/spelling"
)

// otherNames are what people call the commands.
var otherNames = map[string]string{
	"connections": "conns", "connection": "conns", "list": "windows", "ls": "windows", "stop": "off", "disable": "off", "start": "on", "enable": "on",
	"capture": "record", "watch": "live", "tail": "live", "cat": "show", "print": "show", "follow": "show", "save": "export", "info": "status",
}

// unknownCommand returns the error for a command that there is not.
func unknownCommand(root *cobra.Command, name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return misused(root, "there is no command %q; of a dump directory, \"tcpcopyctl windows %s\" lists the windows", name, name)
	}
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	similar := spelling.Closest(name, names)
	if other := otherNames[strings.ToLower(name)]; other != "" && len(similar) == 0 {
		similar = []string{other}
	}
	return misused(root, "there is no command %q%s", name, spelling.Ask(similar))
}

// The errors of pflag, which have no types.
var (
	unknownFlag  = regexp.MustCompile(`^unknown flag: --(.*)$`)
	unknownShort = regexp.MustCompile(`^unknown shorthand flag: '(.*)' in -(.*)$`)
	missingValue = regexp.MustCompile(`^flag needs an argument: (?:--(.*)|'(.*)' in -.*)$`)
	wrongValue   = regexp.MustCompile(`^invalid argument ("(?:.|\n)*") for "(?:-., )?--([^"]*)" flag: `)
)

// wrongFlag returns the error for a flag that cmd cannot use: what is valid, and what may
// have been meant.
func wrongFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		name, _, _ := strings.Cut(m[1], "=")
		return misused(cmd, "unknown flag: --%s%s", name, spelling.Ask(flagsLike(cmd, name)))
	}
	if m := unknownShort.FindStringSubmatch(text); m != nil {
		if name := m[2]; len(name) > 2 && cmd.Flags().Lookup(name) != nil {
			return misused(cmd, "unknown flag: -%s%s", name, spelling.Ask([]string{"--" + name}))
		}
		return misused(cmd, "unknown flag: -%s", m[1])
	}
	if m := missingValue.FindStringSubmatch(text); m != nil {
		f := cmd.Flags().Lookup(m[1])
		if f == nil && m[2] != "" {
			f = cmd.Flags().ShorthandLookup(m[2])
		}
		if f != nil {
			_, usage := pflag.UnquoteUsage(f)
			return misused(cmd, "--%s has no value; it is %s", f.Name, usage)
		}
	}
	if m := wrongValue.FindStringSubmatch(text); m != nil {
		if f := cmd.Flags().Lookup(m[2]); f != nil {
			if valid, ok := validOf[f.Value.Type()]; ok {
				return misused(cmd, "--%s is %s, valid: %s", f.Name, m[1], valid)
			}
		}
	}
	return misused(cmd, "%w", err)
}

// validOf says for the types of flags what they accept.
var validOf = map[string]string{
	"duration": "a length such as 10s, 500ms or 1m30s",
	"int":      "a whole number",
	"uint":     "a whole number from 0 on",
	"float64":  "a number",
	"bool":     "true, false",
}

// flagsLike returns the flags of cmd that a name may have been meant to be, or else the
// commands that have a flag of that name.
func flagsLike(cmd *cobra.Command, name string) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	similar := spelling.Closest(name, names)
	for i := range similar {
		similar[i] = "--" + similar[i]
	}
	if len(similar) > 0 {
		return similar
	}
	for _, c := range cmd.Root().Commands() {
		if c.IsAvailableCommand() && c.Flags().Lookup(name) != nil && len(similar) < maxSuggested {
			similar = append(similar, fmt.Sprintf("%s --%s", c.CommandPath(), name))
		}
	}
	return similar
}

// maxSuggested is how many commands with a flag are named.
const maxSuggested = 3

// atMost returns a check that there are no more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		extra := args[n]
		if _, err := time.ParseDuration(extra); err == nil && cmd.Flags().Lookup("for") != nil {
			return misused(cmd, "%q is one argument too many; did you mean \"--for %s\"?", extra, extra)
		}
		if n == 0 {
			return misused(cmd, "%q is one argument too many: %s has none", extra, cmd.CommandPath())
		}
		return misused(cmd, "%d arguments, at most %d: %q is one too many", len(args), n, extra)
	}
}
