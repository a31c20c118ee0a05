package tcpcopy

import (
	"context"
	"sync"

	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/network"
	"mosn.io/mosn/pkg/types"
)

// openListeners is which listeners MOSN has now. MOSN's own list has no lock, and the
// configuration that it dumps keeps listeners that it has removed
// (pkg/server/handler.go, pkg/configmanager/effectiveconfig.go). So the listeners
// themselves are watched: MOSN adds one to its list when it has set its callbacks, and
// closes it before it removes it. It is safe for concurrent use.
type openListeners struct {
	mu   sync.Mutex
	open map[string]int // by name: listeners that are in MOSN's list; guarded by mu
	seen bool           // there has been one, so that the factory is in use; guarded by mu
}

func (o *openListeners) add(name string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = map[string]int{}
	}
	o.seen = true
	if o.open[name] += n; o.open[name] <= 0 {
		delete(o.open, name)
	}
}

// has reports whether MOSN has a listener of that name. It returns true where nothing
// is known: another package may have replaced the factory.
func (o *openListeners) has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.seen || o.open[name] > 0
}

// factory returns a factory of listeners like those of inner, which o knows of.
func (o *openListeners) factory(inner network.ListenerFactory) network.ListenerFactory {
	return func(lc *v2.Listener) types.Listener {
		return &openListener{Listener: inner(lc), all: o}
	}
}

// openListener is one of MOSN's listeners.
type openListener struct {
	types.Listener
	all *openListeners

	mu     sync.Mutex
	listed bool // all counts it; guarded by mu
}

// setListed says whether MOSN's list has the listener.
func (l *openListener) setListed(listed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if listed == l.listed {
		return
	}
	l.listed = listed
	n := 1
	if !listed {
		n = -1
	}
	l.all.add(l.Name(), n)
}

// SetListenerCallbacks implements types.Listener. MOSN calls it once, just before it
// adds the listener to its list.
func (l *openListener) SetListenerCallbacks(cb types.ListenerEventListener) {
	l.setListed(true)
	l.Listener.SetListenerCallbacks(cb)
}

// Close implements types.Listener. MOSN calls it before it removes the listener.
func (l *openListener) Close(ctx context.Context) error {
	l.setListed(false)
	return l.Listener.Close(ctx)
}

// Start implements types.Listener. It opens a closed listener again where restart is
// set.
func (l *openListener) Start(ctx context.Context, restart bool) {
	if restart {
		l.setListed(true)
	}
	l.Listener.Start(ctx, restart)
}
