package tcpcopy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"mosn.io/api"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/types"
	"mosn.io/pkg/variable"
)

// factory makes the filters of one listener. MOSN creates it from the listener's
// configuration, calls Init with the listener, and then CreateFilterChain for each
// connection (pkg/configmanager/parser.go). MOSN does not close it: the recorder
// outlives it.
type factory struct {
	recorder *recorder
	settings *settings

	mu       sync.Mutex     // guards the rest
	tried    bool           // bind has been called
	grpc     bool           // answersGRPC of the listener
	listener *boundListener // nil before bind, and if the listener was refused
}

// ErrInvalidConfig is the error of a factory's Init that is given anything but a
// listener. Layotto's filter has it under this name.
var ErrInvalidConfig = errors.New("invalid config for tcpcopy")

var (
	_ api.NetworkFilterChainFactory = (*factory)(nil)
	_ api.FactoryInitializer        = (*factory)(nil)
)

// newFactory returns a factory for the configuration. The error names every fault of
// it; MOSN then skips the filter, and the listener's traffic goes on.
func newFactory(r *recorder, config map[string]any) (api.NetworkFilterChainFactory, error) {
	s, err := parseSettings(config)
	if err != nil {
		r.countRefusal()
		return nil, err
	}
	r.unbound.Add(1)
	return &factory{recorder: r, settings: s}, nil
}

// Init binds the listener: it puts the settings into force.
func (f *factory) Init(param any) error {
	ln, ok := param.(*v2.Listener)
	if !ok {
		return fmt.Errorf("%w: Init with %T, valid: *v2.Listener", ErrInvalidConfig, param)
	}
	f.mu.Lock()
	f.grpc = answersGRPC(ln)
	f.mu.Unlock()
	return f.bind(ln.Name, portOf(ln))
}

// bind binds the listener at the first call; further calls do nothing.
func (f *factory) bind(name, port string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tried {
		return nil
	}
	f.tried = true
	f.recorder.unbound.Add(-1)
	l, err := f.recorder.bind(name, port, f.settings)
	f.listener = l
	return err
}

// bound returns the listener, nil if it was refused, and answersGRPC of it. tried is
// false before bind.
func (f *factory) bound() (l *boundListener, grpc, tried bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listener, f.grpc, f.tried
}

// CreateFilterChain adds a filter to a connection that is to be recorded.
func (f *factory) CreateFilterChain(ctx context.Context, callbacks api.NetWorkFilterChainFactoryCallbacks) {
	defer f.recorder.recoverPanic("CreateFilterChain")
	l, grpc, tried := f.bound()
	if !tried {
		// A host that does not call Init names the listener in the context.
		if err := f.bind(contextText(ctx, types.VariableListenerName), contextPort(ctx)); err != nil {
			f.recorder.host.log.Warnf("%v", err)
		}
		l, grpc, _ = f.bound()
	}
	if l == nil || !l.scope.wants(ctx) {
		return
	}
	fl := &filter{recorder: f.recorder, gate: f.recorder.controller, listener: l, grpc: grpc}
	callbacks.AddReadFilter(fl)
	if l.scope.both {
		callbacks.AddWriteFilter(fl)
	}
}

// wants reports whether the connection of ctx is recorded. It draws the sample.
func (c *scope) wants(ctx context.Context) bool {
	if c.sample < 1 && rand.Float64() >= c.sample {
		return false
	}
	if len(c.peers) == 0 {
		return true
	}
	conn := contextConnection(ctx)
	return conn != nil && c.includes(addressOf(conn.RemoteAddr()).Addr())
}

// includes reports whether a client's address is in one of the networks.
func (c *scope) includes(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range c.peers {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// portOf returns the port in the listener's address, or its Unix socket's path.
func portOf(ln *v2.Listener) string {
	switch a := ln.Addr.(type) {
	case *net.TCPAddr:
		return strconv.Itoa(a.Port)
	case *net.UDPAddr:
		return strconv.Itoa(a.Port)
	case *net.UnixAddr:
		return a.Name
	}
	if _, port, err := net.SplitHostPort(ln.AddrConfig); err == nil {
		return port
	}
	return ln.AddrConfig
}

// contextText returns a variable of MOSN's context as text, "" without it.
func contextText(ctx context.Context, v variable.Variable) string {
	if value, err := variable.Get(ctx, v); err == nil && value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

// contextPort returns the listener's port, or its Unix socket's path, for which MOSN has
// the port 0; "" where ctx has neither.
func contextPort(ctx context.Context) string {
	if port := contextText(ctx, types.VariableListenerPort); port != "0" {
		return port
	}
	if conn := contextConnection(ctx); conn != nil {
		if a, ok := conn.LocalAddr().(*net.UnixAddr); ok {
			return a.Name
		}
	}
	return ""
}

// contextConnection returns the connection of MOSN's context, nil without one.
func contextConnection(ctx context.Context) api.Connection {
	value, err := variable.Get(ctx, types.VariableConnection)
	if err != nil {
		return nil
	}
	conn, _ := value.(api.Connection)
	return conn
}
