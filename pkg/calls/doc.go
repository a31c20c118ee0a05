// Package calls is the station between streams and everything that understands calls:
// the records of a dump go in, the calls of its connections come out, each with the
// identity of its connection. It gives every connection in every window a decoder of
// package protocol, and keeps account of what could not be known. The commands of the
// tool call it.
package calls
