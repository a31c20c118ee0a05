package mask

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds how much of a name is looked at, bytes: its end says what it is.
const maxName = 128

// wordsOf splits a name into its words, in lower case: at everything that is no letter
// or digit, and where upper case begins. "X-Api-Key", "apiKey" and "API_KEY" are all
// api, key.
func wordsOf(name string) []string {
	if len(name) > maxName {
		name = name[len(name)-maxName:]
	}
	var all []string
	begin, before := -1, rune(0) // where the word begins, and the character before
	for i, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			if begin >= 0 {
				all = append(all, strings.ToLower(name[begin:i]))
			}
			begin = -1
			continue
		}
		switch {
		case begin < 0:
			begin = i
		case unicode.IsUpper(r) && (!unicode.IsUpper(before) || nextIsLower(name[i+utf8.RuneLen(r):])):
			all = append(all, strings.ToLower(name[begin:i]))
			begin = i
		}
		before = r
	}
	if begin >= 0 {
		all = append(all, strings.ToLower(name[begin:]))
	}
	return all
}

// nextIsLower reports whether rest goes on in lower case, as behind the last capital of
// "APIKey".
func nextIsLower(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	if !unicode.IsLower(r) {
		return false
	}
	// "KEYs" and the like are one word.
	return !(r == 's' && !unicode.IsLetter(runeAt(rest, 1)))
}

func runeAt(s string, at int) rune {
	if at >= len(s) {
		return utf8.RuneError
	}
	r, _ := utf8.DecodeRuneInString(s[at:])
	return r
}

// vocabulary is a set of words.
type vocabulary map[string]bool

func words(text string) vocabulary {
	v := vocabulary{}
	for _, w := range strings.Fields(text) {
		v[w] = true
	}
	return v
}

func (v vocabulary) hasAny(all []string) bool {
	for _, w := range all {
		if v[w] {
			return true
		}
	}
	return false
}
