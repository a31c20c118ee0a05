package persistence

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// maxPortraits is how many portraits may wait for being written.
const maxPortraits = 64

// maxPortrait bounds the JSON of a portrait, bytes: so the memory of those that wait is
// bounded.
const maxPortrait = 1 << 20

// portrait is what an application reports about a piece of business.
type portrait struct {
	business model.BusinessType
	port     string
	json     []byte
}

// Portrait accepts the portrait that render returns, JSON on one line, when the
// window is open and has none of that business type yet; port may be empty. It
// returns whether it was accepted. The file is written later, by another goroutine.
func (s *Session) Portrait(business model.BusinessType, port string, render func() ([]byte, error)) (bool, error) {
	if err := business.Validate(); err != nil {
		return false, err
	}
	if s.Paused() || !s.wants(business) {
		return false, nil
	}
	json, err := render()
	if err != nil {
		return false, err
	}
	if len(json) > maxPortrait {
		s.store.noPortrait.Add(1)
		return false, fmt.Errorf("it has %d bytes, more than %d", len(json), maxPortrait)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.portrayed == nil || s.portrayed[business] {
		return false, nil
	}
	select {
	case s.portraits <- portrait{business, port, json}:
		s.portrayed[business] = true
		return true, nil
	default:
		s.store.noPortrait.Add(1)
		return false, fmt.Errorf("%d portraits are waiting to be written", maxPortraits)
	}
}

// wants reports whether a portrait of that type would be accepted now.
func (s *Session) wants(business model.BusinessType) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.portrayed != nil && !s.portrayed[business]
}

// writePortraits is the goroutine that writes portraits. Close ends it, after
// which nothing is accepted any more.
func (s *Session) writePortraits() {
	defer s.workers.Done()
	for {
		select {
		case p := <-s.portraits:
			s.writePortrait(p)
		case <-s.stop:
			for len(s.portraits) > 0 {
				s.writePortrait(<-s.portraits)
			}
			return
		}
	}
}

func (s *Session) writePortrait(p portrait) {
	written := false
	defer func() {
		if !written {
			s.store.noPortrait.Add(1)
		}
	}()
	defer catchPanic(s.store.alert, "writing a portrait")
	line := hexlog.AppendPrefix(nil, s.store.host.Clock.Now())
	line = fmt.Appendf(line, "[%s][%s][%s]%s\n", s.window.ID, p.business, p.port, p.json)
	written = s.store.portraits.Append(line) == nil // the file alerts, once in a row of failures
}
