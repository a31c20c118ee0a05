package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// completeTime is how long a shell waits for the completions of a word.
const completeTime = time.Second

// maxCompletions bounds the completions of a word.
const maxCompletions = 200

// completer returns the completions of a word, which may have a description after a tab.
// args are the arguments before it.
type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// complete has a flag of cmd completed.
func complete(cmd *cobra.Command, flag string, c completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, c); err != nil {
		panic(fmt.Sprintf("complete --%s of %s: %v", flag, cmd.Name(), err)) // the flag is not there
	}
}

// oneOf completes one of these words.
func oneOf(words ...string) completer {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
}

// severalOf completes a list of names with commas between them, such as the fields of a
// call. Names that the list has are left out.
func severalOf(names ...string) completer {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		cut := strings.LastIndexByte(word, ',') + 1
		before, last := word[:cut], word[cut:]
		had := strings.Split(before, ",")
		var all []string
		for _, name := range names {
			if strings.HasPrefix(name, last) && plainWord.MatchString(name) && !slices.Contains(had, name) {
				all = append(all, before+name)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// lastOf completes the last name of an expression, such as a field of a call in --where.
func lastOf(names ...string) completer {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		cut := strings.LastIndexFunc(word, func(r rune) bool { return r != '.' && r != '_' && !unicode.IsLetter(r) }) + 1
		var all []string
		for _, name := range names {
			if strings.HasPrefix(name, word[cut:]) && plainWord.MatchString(name) {
				all = append(all, word[:cut]+name)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeReadFlags completes the common filters from what the dump has.
func (t *tool) completeReadFlags(cmd *cobra.Command, r *readFlags) {
	complete(cmd, "window", r.fromDump(windowsBeginning))
	complete(cmd, "conn", r.fromDump(connsBeginning))
	complete(cmd, "port", r.fromDump(portsBeginning))
	complete(cmd, "direction", oneOf("in\tclient to proxy", "out\tproxy to client", "both"))
	complete(cmd, "format", oneOf("any", "hex", "pcapng"))
	complete(cmd, "since", oneOf("today", "yesterday", "10m\tten minutes ago", "1h", "1d"))
	complete(cmd, "until", oneOf("today", "yesterday", "10m\tten minutes ago", "1h", "1d"))
}

// fromDump completes a word from what the dump has.
func (r *readFlags) fromDump(find func(context.Context, *reading.Query, string) []string) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		q := r.t.query(ctx, args[min(r.before, len(args)):])
		q.Report = reading.Report{}
		q.Options.Filter.Window = r.window
		return find(ctx, q, word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// plainWord is what may be put on a command line without quoting: what a dump names
// anything else is not completed.
var plainWord = regexp.MustCompile(`^[-A-Za-z0-9._/@,#]+$`)

// errEnoughWords ends a search for completions.
var errEnoughWords = errors.New("enough completions")

// windowsBeginning returns the windows whose ids begin with a word, the newest first.
func windowsBeginning(_ context.Context, q *reading.Query, word string) []string {
	q.Options.Filter.Window = word
	o := &output{t: &tool{now: time.Now}}
	var all []string
	short := map[string]bool{} // that all has
	err := q.Indexed(func(w reading.Window) error {
		id := layout.WindowPrefix(w.Window)
		if len(word) > len(id) || short[id] {
			id = w.Window
		}
		short[id] = true
		if plainWord.MatchString(id) {
			all = append(all, fmt.Sprintf("%s\t%s, %s, %s", id, o.moment(w.Opened), w.Trigger, plural(w.Connections, "connection")))
		}
		return nil
	})
	if err != nil {
		return nil
	}
	slices.Reverse(all)
	return all[:min(len(all), maxCompletions)]
}

// connsBeginning returns the connections whose identities begin with the last word of a list
// with commas.
func connsBeginning(ctx context.Context, q *reading.Query, word string) []string {
	cut := strings.LastIndexByte(word, ',') + 1
	var all []string
	had := map[string]bool{}
	_ = q.Connections(ctx, func(c *dump.Connection) error { // what was found until ctx ended
		if strings.HasPrefix(c.Conn, word[cut:]) && plainWord.MatchString(c.Conn) && !had[c.Conn] {
			had[c.Conn] = true
			all = append(all, fmt.Sprintf("%s%s\t%s", word[:cut], c.Conn, printable(c.Peer)))
		}
		if len(all) >= maxCompletions {
			return errEnoughWords
		}
		return nil
	})
	return all
}

// portsBeginning returns the ports of the dump.
func portsBeginning(_ context.Context, q *reading.Query, word string) []string {
	c, err := q.Summary()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(c.Ports, func(port string) bool { return !strings.HasPrefix(port, word) || !plainWord.MatchString(port) })
}

// bashWords is the part of cobra's script for bash that needs the package bash-completion.
const bashWords = `    _get_comp_words_by_ref "$@" cur prev words cword
`

// ownBashWords is what is in its place. It joins what bash has split at "=" and ":".
const ownBashWords = `    local line=${COMP_LINE:0:COMP_POINT} space word i
    words=() cword=0
    for ((i = 0; i <= COMP_CWORD; i++)); do
        space=${line%%[![:space:]]*}
        line=${line#"$space"}
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)); then
            word=$line
        fi
        line=${line#"$word"}
        if ((i > 0)) && [[ -z $space && -n $word ]]; then
            words[cword]+=$word
        else
            words+=("$word")
            cword=$((${#words[@]} - 1))
        fi
    done
    cur=${words[cword]} prev=""
    if ((cword > 0)); then
        prev=${words[cword - 1]}
    fi
`

// useOwnBashCompletion makes "completion bash" write a script that also works where the
// package bash-completion is not installed.
func (t *tool) useOwnBashCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if all, _, err := root.Find([]string{"completion"}); err == nil {
		all.Short = "Write the completion script for a shell"
		all.Args = nil
		all.RunE = func(cmd *cobra.Command, args []string) error {
			var shells []string
			for _, c := range cmd.Commands() {
				shells = append(shells, c.Name())
			}
			if len(args) == 0 {
				return misused(cmd, "the shell is not set, valid: %s", strings.Join(shells, ", "))
			}
			return misused(cmd, "the shell is %q, valid: %s", args[0], strings.Join(shells, ", "))
		}
	}
	bash, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		panic(fmt.Sprintf("completion for bash: %v", err)) // cobra has it
	}
	bash.Long = `Write the completion script for bash. It needs no other package.

To have completion in the current shell:

	source <(tcpcopyctl completion bash)

In every new one:

	tcpcopyctl completion bash >> ~/.bashrc`
	bash.RunE = func(*cobra.Command, []string) error {
		var script bytes.Buffer
		if err := root.GenBashCompletionV2(&script, true); err != nil {
			return err
		}
		_, err := t.stdout.Write(bytes.Replace(script.Bytes(), []byte(bashWords), []byte(ownBashWords), 1))
		return err
	}
}
