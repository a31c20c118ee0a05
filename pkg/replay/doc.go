// Package replay sends the requests of recorded connections to another server
// and compares its answers with the recorded ones, for any protocol over TCP.
// tcpcopyctl's replay command calls it; Go programs may as well:
//
//	recording, err := replay.Load(reader, replay.LoadOptions{})
//	…
//	replayer, err := replay.New(recording, replay.Options{Target: replay.Server{Address: "127.0.0.1:8080"}})
//	…
//	result, err := replayer.Run(ctx)
//
// A Session is what was recorded of one connection: what its client sent and
// received, in order. The replay opens a connection for each session. By default it
// sends a request when it has received as much as the recorded client had, and not
// before the request's time on a clock that starts with the replay.
//
// Answers are compared turn by turn. In HTTP/1.1 and HTTP/2, which gRPC uses, a turn
// is a request with its response. Responses are compared by their meaning: header
// fields in any order, bodies in any chunks. In all other protocols a turn is the
// bytes that were sent between two answers, and those of the answer.
//
// Of HTTP/2, two things are left out. Streams that their client reset are not
// compared: how much a server answers until it receives the reset is chance. Pings
// of the client are not sent: they measured the recorded connection, and on another
// one servers may take them for abuse.
//
// Recorded payload is kept in memory up to a limit, and beyond it in a temporary
// file that only its owner can read. A bounded part of each answer is kept. So the
// memory that a replay needs depends on the number of records and of concurrent
// connections, not on what a server sends.
package replay
