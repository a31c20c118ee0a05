package pcapng

import (
	"slices"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/internal/statetext"
	"mosn.io/tcpcopy/pkg/record"
)

// parsedComment is what a packet's comment says: see appendIdentity, appendGap,
// appendClose and appendState.
type parsedComment struct {
	conn     string
	identity *parsedIdentity
	comment  comment
	state    *parsedState
}

// parsedState is the content of a state comment.
type parsedState struct {
	base       record.PerDirection
	checkpoint []byte
}

// parsedIdentity is the content of an identity comment.
type parsedIdentity struct {
	record.Identity
	base         record.PerDirection
	known        [2]bool   // base holds, by direction
	labelled     bool      // all packets of the connection have the same label
	shift        [2]uint32 // see Appearance
	start, again bool
}

// parseComment reads a comment. It is false for texts that do not have all words of one
// of the recorder's comments, in their order. More text may follow: somebody may have
// added it, or a later version of the recorder. Whether a comment is the recorder's also
// depends on its packet.
func parseComment(text string) (c parsedComment, ok bool) {
	if rest, found := strings.CutPrefix(text, "gap conn="); found {
		return parseGapComment(rest)
	}
	if rest, found := strings.CutPrefix(text, "close conn="); found {
		return parseCloseComment(rest)
	}
	if rest, found := strings.CutPrefix(text, statePrefix); found {
		return parseStateComment(rest)
	}
	if strings.HasPrefix(text, identityKeys[0]) {
		return parseIdentityComment(text)
	}
	return c, false
}

// identityKeys begin the words of an identity comment, in their order.
var identityKeys = [...]string{"conn=", "window=", "port=", "network=", "client=", "server=", "listener="}

// maxAdded is how much text after the recorder's comment is kept with it, in bytes.
const maxAdded = 256

func parseIdentityComment(text string) (c parsedComment, ok bool) {
	var words [len(identityKeys)]string
	rest := text
	for i, key := range identityKeys {
		if rest, ok = strings.CutPrefix(rest, key); !ok {
			return c, false
		}
		if words[i], rest, ok = cutValue(rest); !ok {
			return c, false
		}
	}
	if len(rest) > maxAdded {
		return parseIdentityComment(strings.Clone(text[:len(text)-len(rest)+maxAdded]))
	}
	id := &parsedIdentity{Identity: record.Identity{
		Conn: words[0], Window: words[1], Port: words[2], Network: words[3], Peer: words[4], Listener: words[5], ListenerName: words[6],
	}}
	for _, dir := range record.Directions() {
		if value, found := strings.CutPrefix(rest, dir.String()+"="); found {
			var word string
			word, rest, _ = cutValue(value)
			n, ok := parseUint(word)
			if !ok {
				return c, false
			}
			id.base.Set(dir, n)
			id.known[dir] = true
		}
	}
	if value, found := strings.CutPrefix(rest, "label="); found {
		_, rest, id.labelled = cutValue(value)
	}
	if value, found := strings.CutPrefix(rest, "shift="); found {
		var word string
		word, rest, _ = cutValue(value)
		in, out, _ := strings.Cut(word, ":")
		for dir, text := range []string{in, out} {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return c, false
			}
			id.shift[dir] = uint32(n)
		}
	}
	for _, flag := range []struct {
		word string
		set  *bool
	}{{"start", &id.start}, {"again", &id.again}} {
		if word, more, _ := strings.Cut(rest, " "); word == flag.word {
			*flag.set, rest = true, more
		}
	}
	c.conn, c.identity = id.Conn, id
	return c, id.Conn != ""
}

// parseGapComment reads "<id> > <offset> <length> <reason>".
func parseGapComment(text string) (c parsedComment, ok bool) {
	var words [5]string
	if !cutValues(text, words[:]) || len(words[1]) != 1 {
		return c, false
	}
	dir, ok := record.ParseArrow(words[1][0])
	if !ok {
		return c, false
	}
	c.conn = words[0]
	c.comment = comment{kind: commentGap, dir: dir, reason: words[4]}
	var okOffset, okLength bool
	c.comment.offset, okOffset = parseUint(words[2])
	c.comment.length, okLength = parseUint(words[3])
	return c, okOffset && okLength && c.comment.length > 0 && c.comment.offset+c.comment.length > c.comment.offset
}

// parseCloseComment reads "<id> <reason> > <bytes> < <bytes>".
func parseCloseComment(text string) (c parsedComment, ok bool) {
	var words [6]string
	if !cutValues(text, words[:]) || words[2] != ">" || words[4] != "<" {
		return c, false
	}
	c.conn = words[0]
	c.comment = comment{kind: commentClose, reason: words[1]}
	var okIn, okOut bool
	c.comment.totals.In, okIn = parseUint(words[3])
	c.comment.totals.Out, okOut = parseUint(words[5])
	return c, okIn && okOut
}

// statePrefix begins a state comment.
const statePrefix = "state conn="

// parseStateComment reads "<id> in=<offset> out=<offset> checkpoint=<word>".
func parseStateComment(text string) (c parsedComment, ok bool) {
	var words [4]string
	if !cutValues(text, words[:]) {
		return c, false
	}
	s := &parsedState{}
	c.conn = words[0]
	for i, key := range []string{"in=", "out=", "checkpoint="} {
		if words[i+1], ok = strings.CutPrefix(words[i+1], key); !ok {
			return c, false
		}
	}
	var okIn, okOut bool
	s.base.In, okIn = parseUint(words[1])
	s.base.Out, okOut = parseUint(words[2])
	s.checkpoint, ok = statetext.Parse([]byte(words[3]))
	c.state = s
	return c, ok && okIn && okOut
}

// cutValues splits the first values off text, as many as words has.
func cutValues(text string, words []string) (ok bool) {
	for i := range words {
		if words[i], text, ok = cutValue(text); !ok {
			return false
		}
	}
	return true
}

// cutValue splits off the first value, as appendValue writes it, and the space or newline
// after it.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' })
		if end < 0 {
			return text, "", text != ""
		}
		return text[:end], text[end+1:], end > 0
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	if value, err = strconv.Unquote(quoted); err != nil {
		return "", "", false
	}
	rest = text[len(quoted):]
	if rest == "" {
		return value, "", true
	}
	return value, rest[1:], rest[0] <= ' '
}

// resemble sets the kinds of the recorder's comments that a text which parseComment
// refuses may be with damage: most of the words are there, in their order.
func resemble(kinds *[numComments]bool, text string) {
	if strings.HasPrefix(text, statePrefix) {
		kinds[commentState] = true
		return
	}
	const longest = 4 << 10 // bytes that are looked at
	words := strings.Split(text[:min(len(text), longest)], " ")
	number := func(word string) bool { _, ok := parseUint(word); return ok }
	arrow := func(word string) bool { return word == ">" || word == "<" }
	is := func(text string) func(string) bool { return func(word string) bool { return word == text } }
	key := func(key string) func(string) bool {
		return func(word string) bool { return strings.HasPrefix(word, key) }
	}
	conn := key(identityKeys[0])
	var identity []func(string) bool
	for _, k := range identityKeys {
		identity = append(identity, key(k))
	}
	if inOrder(words, identity) > len(identity)/2 {
		kinds[commentIdentity] = true
	}
	if inOrder(words, []func(string) bool{is("close"), conn, is(">"), number, is("<"), number}) > 2 {
		kinds[commentClose] = true
	}
	if inOrder(words, []func(string) bool{is("gap"), conn, arrow, number, number}) > 2 {
		kinds[commentGap] = true
	}
}

// inOrder returns how many of the patterns match words, each a word after that of the
// pattern before it.
func inOrder(words []string, patterns []func(string) bool) (n int) {
	for _, matches := range patterns {
		if i := slices.IndexFunc(words, matches); i >= 0 {
			n++
			words = words[i+1:]
		}
	}
	return n
}

// parseUint reads a decimal number without signs, of at most 20 digits.
func parseUint(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && len(s) <= 20 && s[0] != '+'
}
