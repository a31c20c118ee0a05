package tcpcopy

import (
	"context"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc/peer"

	v2 "mosn.io/mosn/pkg/config/v2"
)

// clients are the open connections of the listeners that answer gRPC calls themselves.
// MOSN's gRPC server (pkg/filter/network/grpc/factory.go) gives stream filters and
// handlers no variables, so that a portrait's port is found through the call's connection:
// the server has the very address that MOSN's connection has. Safe for concurrent use; the
// zero value is ready.
type clients struct {
	ports sync.Map // listener's port by the net.Addr of the client, which is a pointer
}

// add adds the connection of a client to the listener of that port.
func (c *clients) add(client net.Addr, port string) { c.ports.Store(client, port) }

// remove removes a connection that add was called for, or another one.
func (c *clients) remove(client net.Addr) { c.ports.Delete(client) }

// port returns the port of the listener that a call of context ctx came to, "" when the
// call is not one of gRPC, or its connection is not recorded.
func (c *clients) port(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if port, ok := c.ports.Load(p.Addr); ok {
			return port.(string)
		}
	}
	return ""
}

// answersGRPC reports whether the listener answers gRPC calls itself.
func answersGRPC(ln *v2.Listener) bool {
	for _, chain := range ln.FilterChains {
		if slices.ContainsFunc(chain.Filters, func(f v2.Filter) bool { return f.Type == v2.GRPC_NETWORK_FILTER }) {
			return true
		}
	}
	return false
}
