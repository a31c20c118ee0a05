// Package witness keeps what clients and servers know of their own traffic: every byte
// with the times between which it passed a proxy in the middle, and every call as its client
// made it. Tests of the decoders compare calls with it. It is written without a
// decoder, so that a mistake of one cannot hide itself.
//
// A Path goes from clients through the proxy, or without one, to a Relay in front of the
// server. The two ends of a connection form a Link.
package witness
