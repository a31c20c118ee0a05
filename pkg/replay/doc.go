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
// A recorded connection is a Session: what its client sent, in order, and
// what was answered. For each one the replay opens one connection. By default it
// goes turn by turn: what the client sent after it had received some of the
// answer is sent when as much has come back, and not before its time on a clock
// that starts with the replay. Answers are compared turn by turn. Of
// sessions in HTTP/1.1 and HTTP/2, which gRPC speaks, the turns are requests
// and their responses, compared by their meaning: header fields in any order,
// bodies whatever the chunks; of all others the bytes between two sends. Streams of
// HTTP/2 that their client reset are not compared: how much of an answer came before
// the server heard of it is chance.
//
// Payload that was recorded is kept in memory up to a limit and in a temporary
// file of the owner's beyond it. Of each answer a bounded part is kept, so the
// memory that a replay takes depends on the number of records and of
// connections at a time, not on what a server sends.
package replay
