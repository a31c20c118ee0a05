package reading

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/spelling"
)

// identity is the form of the identities that recorders give connections.
var identity = regexp.MustCompile(`^[a-z0-9]{6}-[0-9]+$`)

// IsIdentity reports whether text has the form of a whole connection identity, <run>-<id>.
// "all-8080" and "unknown-10.0.0.1:80", which readers give to connections that the files do
// not distinguish, have it too.
func IsIdentity(text string) bool {
	return identity.MatchString(text) || strings.HasPrefix(text, "all-") || strings.HasPrefix(text, "unknown-")
}

// maxSeen bounds the connections that are looked at for what a wrong identity was meant to be.
const maxSeen = 4096

// maxNamed is how many connections an error or a hint names.
const maxNamed = 5

// AmbiguousError says that the beginning of an identity is that of several connections.
type AmbiguousError struct {
	Text  string   // the beginning
	Conns []string // some of the connections, in the order of their first records
	More  int      // how many connections are not in Conns, of those that were looked at
}

func (e *AmbiguousError) Error() string {
	text := fmt.Sprintf("%q, which %d connections begin with: %s", e.Text, len(e.Conns)+e.More, strings.Join(e.Conns, ", "))
	if e.More > 0 {
		text += fmt.Sprintf(" and %d more", e.More)
	}
	return text
}

// beginning is what a connection that is wanted begins with.
type beginning struct {
	text  string
	exact bool     // there is a connection with that identity
	found []string // other connections that begin so, up to maxSeen
}

// ResolveConns makes whole identities of Conns, whose elements may be the first characters
// of identities. It reads the records that q wants until each is known. An identity is the
// connection that has it, also where others begin with it. The error is an AmbiguousError
// for each of Conns that several connections begin with, or that of the reading. What no
// connection begins with stays as it is, and is in Unknown. Standard input is not read:
// there, Conns select every connection that begins so.
func (q *Query) ResolveConns(ctx context.Context) error {
	if len(q.Conns) == 0 {
		return nil
	}
	path, err := q.Locate()
	if err != nil {
		return err
	}
	if path == "-" {
		return nil
	}
	wanted := make([]beginning, len(q.Conns))
	for i, text := range q.Conns {
		wanted[i].text = text
	}
	seen, err := q.look(ctx, wanted)
	if err != nil {
		return err
	}
	q.Unknown = nil
	var errs []error
	for i := range wanted {
		w := &wanted[i]
		switch {
		case w.exact:
		case len(w.found) == 1:
			q.Conns[i] = w.found[0]
		case len(w.found) > 1:
			n := min(len(w.found), maxNamed)
			errs = append(errs, &AmbiguousError{Text: w.text, Conns: w.found[:n], More: len(w.found) - n})
		default:
			q.Unknown = append(q.Unknown, UnknownConn{w.text, spelling.Closest(w.text, seen)})
		}
	}
	q.resolved = true
	slices.Sort(q.Conns)
	q.Conns = slices.Compact(q.Conns)
	return errors.Join(errs...)
}

// UnknownConn is a connection that was asked for and is not there.
type UnknownConn struct {
	Text    string
	Similar []string // identities that it may have been meant to be
}

// errAllKnown ends a look at the records early.
var errAllKnown = errors.New("all are known")

// look reads records until each of wanted is known, and returns identities that it has seen.
func (q *Query) look(ctx context.Context, wanted []beginning) (seen []string, err error) {
	all := *q
	all.Conns, all.Report = nil, Report{Progress: q.Report.Progress}
	all.Options.Wait, all.Options.Filter.Only = nil, nil
	left, last, known := len(wanted), "", map[string]bool{}
	err = all.Each(ctx, func(r *record.Record) error {
		if r.Conn == last || known[r.Conn] {
			return nil
		}
		last = strings.Clone(r.Conn)
		if len(known) < maxSeen {
			known[last] = true
			seen = append(seen, last)
		}
		for i := range wanted {
			w := &wanted[i]
			switch {
			case w.exact:
			case w.text == last:
				w.exact = true
				left--
			case strings.HasPrefix(last, w.text) && len(w.found) < maxSeen && !slices.Contains(w.found, last):
				w.found = append(w.found, last)
			}
		}
		if left == 0 {
			return errAllKnown
		}
		return nil
	})
	if errors.Is(err, errAllKnown) {
		err = nil
	}
	return seen, err
}

// wantsConn reports whether Conns select a connection.
func (q *Query) wantsConn(id string) bool {
	if len(q.Conns) == 0 {
		return true
	}
	for _, text := range q.Conns {
		if id == text || !q.resolved && !IsIdentity(text) && strings.HasPrefix(id, text) {
			return true
		}
	}
	return false
}
