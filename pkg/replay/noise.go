package replay

import (
	"bytes"
	"sync"
)

// noise is what was found to differ between a recorded answer and the baseline's,
// as parts of the recorded one.
type noise []span

func noiseOf(changes []change) noise {
	var n noise
	for _, c := range changes {
		n = append(n, span{c.aFrom, c.aTo})
	}
	return n
}

// covers reports whether c changes nothing but noise.
func (n noise) covers(c change) bool {
	for _, s := range n {
		if s.from <= c.aFrom && c.aTo <= s.to {
			return true
		}
	}
	return false
}

// maxPlaces bounds what is remembered of noise.
const maxPlaces = 10_000

// noisyPlaces remembers where noise was found, by the words before it: a value that
// differs in most answers may, by chance, be equal in one. Its zero value is ready; it
// is safe for concurrent use.
type noisyPlaces struct {
	mu    sync.Mutex
	known map[string]bool // guarded by mu
}

// learn adds the noise of a recorded answer.
func (p *noisyPlaces) learn(answer []byte, n noise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]bool{}
	}
	for _, s := range n {
		if place := placeOf(answer, s.from); place != "" && len(p.known) < maxPlaces {
			p.known[place] = true
		}
	}
}

// know reports whether all places are known.
func (p *noisyPlaces) know(places []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, place := range places {
		if !p.known[place] {
			return false
		}
	}
	return len(places) > 0
}

// placeWords is how many words before a change name its place.
const placeWords = 6

// placeOf returns the name of the place of answer[at:]: the words before it on its
// line, with # for each word that has digits. It is empty where there are none.
func placeOf(answer []byte, at int) string {
	line := answer[bytes.LastIndexByte(answer[:at], '\n')+1 : at]
	line = line[max(0, len(line)-256):]
	all := words(line)
	all = all[max(0, len(all)-placeWords):]
	var name []byte
	named := false
	for _, w := range all {
		word := line[w.from:w.to]
		switch {
		case bytes.ContainsAny(word, "0123456789"):
			name = append(name, '#')
			continue
		case !isText(word):
			return ""
		case inWord(word[0]):
			named = true
		}
		name = append(name, word...)
	}
	if !named {
		return ""
	}
	return string(name)
}
