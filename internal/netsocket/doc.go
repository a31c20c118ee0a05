// Package netsocket finds out which processes have the other end of a TCP connection
// between two sockets of this host. The filter uses it to recognise requests that its own
// process sends to itself.
package netsocket
