// Package upstream has the servers that the configurations of configs/ proxy to: one
// that answers every HTTP request with its own method, path and body, and one that
// sends every datagram back. examples/upstream and examples/run serve them.
package upstream
