package cli

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"mosn.io/tcpcopy/tool/internal/reading"
)

// target is what the arguments of a command name: a connection or a call, and where it is.
type target struct {
	conn string   // the connection's identity, or the first characters of it; empty: none is named
	call string   // the number of a call of it; empty: the connection is meant
	dir  []string // the directory, for tool.query; empty: the default ones
}

// named returns the argument that names the connection or the call.
func (g *target) named() string {
	if g.call == "" {
		return g.conn
	}
	return g.conn + "#" + g.call
}

// targetOf sorts arguments: one of the form <conn> or <conn>#<n> is the connection or the
// call, the other one the directory, in any order. The first characters of an identity are
// a connection where no file has that name.
func targetOf(args []string) (target, error) {
	var g target
	is := -1 // which argument is the connection
	for _, form := range []func(string) bool{isConnForm, isConnBeginning} {
		for i, arg := range args {
			if is < 0 && form(arg) {
				is = i
			}
		}
	}
	for i, arg := range args {
		if i == is {
			g.conn, g.call, _ = strings.Cut(arg, "#")
		} else {
			g.dir = append(g.dir, arg)
		}
	}
	if len(g.dir) > 1 {
		return g, fmt.Errorf("%q and %q are both no connection, valid: an identity such as k3v9qa-17, or the first characters of it; \"tcpcopyctl conns %s\" lists them", g.dir[0], g.dir[1], g.dir[0])
	}
	if is >= 0 && strings.Contains(args[is], "#") && !callNumber.MatchString(g.call) {
		return g, fmt.Errorf("%q is no call, valid: <connection>#<number>, such as k3v9qa-17#3", args[is])
	}
	return g, nil
}

var (
	callNumber    = regexp.MustCompile(`^[1-9][0-9]*$`)
	connBeginning = regexp.MustCompile(`^[a-z0-9]{1,6}(-[0-9]*)?(#.*)?$`)
)

// isConnForm reports whether an argument has the form <conn> or <conn>#<n>. What begins with
// "all-" or "unknown-" may also be the name of a file that is there.
func isConnForm(arg string) bool {
	conn, _, _ := strings.Cut(arg, "#")
	return reading.IsIdentity(conn) && (connBeginning.MatchString(conn) || !exists(arg))
}

// isConnBeginning reports whether an argument may be the beginning of an identity.
func isConnBeginning(arg string) bool { return connBeginning.MatchString(arg) && !exists(arg) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
