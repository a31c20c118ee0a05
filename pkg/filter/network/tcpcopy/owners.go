package tcpcopy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// The parts of a configuration that are the process's, as the errors name them.
const (
	partStrategy = "strategy"
	partOutput   = "output"
	partBuffer   = "buffer"
	partGuard    = "guard"
)

// part returns what the settings have of a part of the process; nil if they leave it
// out.
func (s *settings) part(name string) any {
	switch {
	case name == partStrategy && s.strategy != nil:
		return s.strategy
	case name == partOutput && s.output != nil:
		return s.output
	case name == partBuffer && s.buffer != nil:
		return s.buffer
	case name == partGuard && s.guard != nil:
		return s.guard
	}
	return nil
}

// presence is what MOSN says of its listeners at one moment.
type presence struct {
	host   *host
	blocks map[string]map[string]any // the tcpcopy blocks of its configuration, by listener
}

// presence asks MOSN. It waits for MOSN's lock of its configuration, which somebody may
// hold for long, so mu must not be held.
func (r *recorder) presence() presence {
	p := presence{host: &r.host}
	if r.host.listeners != nil {
		p.blocks = r.host.listeners()
	}
	return p
}

// has reports whether MOSN has a listener of that name with a tcpcopy filter.
func (p presence) has(name string) bool {
	if p.host.open == nil {
		return true
	}
	_, filtered := p.blocks[name]
	return p.host.open(name) && (filtered || p.host.listeners == nil)
}

// releaseLocked forgets the listeners that MOSN does not have any more, but name, which
// MOSN is about to add or to update. A part that one of them owned becomes that of
// another listener with the same block, or nobody's: the next block then applies. What
// is in force stays so until then.
func (r *recorder) releaseLocked(name string, p presence) {
	gone := func(other string) bool { return other != name && !p.has(other) }
	maps.DeleteFunc(r.listeners, func(other string, _ *boundListener) bool { return gone(other) })
	maps.DeleteFunc(r.refused, func(other string, _ refusal) bool { return other != extendsBlock && gone(other) })
	for part, owner := range r.owners {
		if !gone(owner) {
			continue
		}
		delete(r.owners, part)
		for _, heir := range slices.Sorted(maps.Keys(r.listeners)) {
			if block := r.listeners[heir].settings.part(part); heir != name && block != nil && reflect.DeepEqual(block, r.parts.part(part)) {
				r.owners[part] = heir
				break
			}
		}
	}
}

// ownersLocked returns which listener owns each part of the process, for the status.
func (r *recorder) ownersLocked(p presence) map[string]string {
	owners := map[string]string{}
	for part, owner := range r.owners {
		if p.has(owner) {
			owners[part] = owner
		}
	}
	return owners
}

// maxNamed bounds the listeners that an error names.
const maxNamed = 4

// nothingToRecord returns why a window would record nothing; nil if it may record
// something. Connections of a removed listener live on and are recorded.
func (r *recorder) nothingToRecord() error {
	if r.connections.Load() > 0 {
		return nil
	}
	p := r.presence()
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := r.refusedLocked(p)
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(r.listeners)) {
		switch l := r.listeners[name]; {
		case !p.has(name):
			reasons = append(reasons, fmt.Sprintf("listener %s has been removed, or its filter", name))
		case slices.ContainsFunc(refused, func(f refusal) bool { return f.Listener == name }):
		case l.scope.sample == 0:
			reasons = append(reasons, fmt.Sprintf("capture.sample of listener %s is 0", name))
		default:
			return nil
		}
	}
	listeners := 0
	for _, f := range refused {
		if f.Listener != extendsBlock {
			listeners++
			reasons = append(reasons, fmt.Sprintf("listener %s is refused: %s", f.Listener, f.Error))
		}
	}
	switch {
	case len(reasons) == 0 && (r.handed.Load() || r.unbound.Load() > 0):
		return nil // portraits, the work pool, or a host that binds with the first connection
	case len(reasons) == 0:
		reasons = append(reasons, "no listener has the tcpcopy filter")
	case len(reasons) > maxNamed:
		more := len(reasons) - maxNamed
		reasons = append(reasons[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return errors.New("nothing would be recorded: " + strings.Join(reasons, "; "))
}
