package pcapng

import (
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
)

// parsedComment is what a packet's comment says: see appendIdentity, appendGap
// and appendClose.
type parsedComment struct {
	conn     string
	identity *parsedIdentity
	comment  comment
}

// parsedIdentity is the content of an identity comment.
type parsedIdentity struct {
	record.Identity
	base         record.PerDirection
	start, again bool
}

// parseComment reads a comment. It is false for texts that are not ours.
func parseComment(text string) (c parsedComment, ok bool) {
	if rest, found := strings.CutPrefix(text, "gap "); found {
		return parseGapComment(rest)
	}
	if rest, found := strings.CutPrefix(text, "close "); found {
		return parseCloseComment(rest)
	}
	if strings.HasPrefix(text, "conn=") {
		return parseIdentityComment(text)
	}
	return c, false
}

// resemblesOurs reports whether a text that parseComment refuses is a damaged
// comment of the recorder, and not one that somebody has added.
func resemblesOurs(text string) bool {
	return strings.Contains(text, "conn=") || strings.Contains(text, " window=") ||
		strings.HasPrefix(text, "gap ") || strings.HasPrefix(text, "close ")
}

func parseIdentityComment(text string) (c parsedComment, ok bool) {
	id := &parsedIdentity{}
	for text != "" {
		key, value, rest, ok := cutWord(text)
		if !ok {
			return c, false
		}
		text = rest
		switch key {
		case "conn":
			id.Conn = value
		case "window":
			id.Window = value
		case "port":
			id.Port = value
		case "network":
			id.Network = value
		case "client":
			id.Peer = value
		case "server":
			id.Listener = value
		case "listener":
			id.ListenerName = value
		case "in":
			id.base.In, ok = parseUint(value)
		case "out":
			id.base.Out, ok = parseUint(value)
		case "start":
			id.start = true
		case "again":
			id.again = true
		}
		if !ok {
			return c, false
		}
	}
	c.conn, c.identity = id.Conn, id
	return c, id.Conn != ""
}

// parseGapComment reads "conn=<id> > <offset> <length> <reason>".
func parseGapComment(text string) (c parsedComment, ok bool) {
	var words [5]string
	if !cutWords(text, words[:]) || len(words[1]) != 1 {
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

// parseCloseComment reads "conn=<id> <reason> > <bytes> < <bytes>".
func parseCloseComment(text string) (c parsedComment, ok bool) {
	var words [6]string
	if !cutWords(text, words[:]) || words[2] != ">" || words[4] != "<" {
		return c, false
	}
	c.conn = words[0]
	c.comment = comment{kind: commentClose, reason: words[1]}
	var okIn, okOut bool
	c.comment.totals.In, okIn = parseUint(words[3])
	c.comment.totals.Out, okOut = parseUint(words[5])
	return c, okIn && okOut
}

// cutWords splits text into exactly len(words) words without their keys.
func cutWords(text string, words []string) bool {
	for i := range words {
		var ok bool
		if _, words[i], text, ok = cutWord(text); !ok {
			return false
		}
	}
	return text == ""
}

// cutWord splits off the first word, "key=value", "value" or a word that stands
// for itself, where value may be quoted as appendValue does. Of a word without a
// value, key and value are the word.
func cutWord(text string) (key, value, rest string, ok bool) {
	if text == "" {
		return "", "", "", false
	}
	end := strings.IndexAny(text, " =\"")
	if end > 0 && text[end] == '=' {
		key, text = text[:end], text[end+1:]
	}
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", "", false
		}
		if value, err = strconv.Unquote(quoted); err != nil {
			return "", "", "", false
		}
		rest = text[len(quoted):]
	} else {
		end = strings.IndexByte(text, ' ')
		if end < 0 {
			end = len(text)
		}
		value, rest = text[:end], text[end:]
	}
	if key == "" {
		key = value
	}
	if rest != "" {
		if rest[0] != ' ' {
			return "", "", "", false
		}
		rest = rest[1:]
	}
	return key, value, rest, true
}

// parseUint reads a decimal number without signs, of at most 20 digits.
func parseUint(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && len(s) <= 20
}
