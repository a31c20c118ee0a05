// Package postgresql understands the frontend/backend protocol of PostgreSQL, versions
// 3.0 and 3.2 (https://www.postgresql.org/docs/current/protocol.html). The decoder of
// package protocol uses it.
//
// Its calls are, by method:
//
//   - CONNECT: the startup message and all of the authentication. The target is the database.
//     It has no latency where the client had to send passwords in between.
//   - QUERY: a simple query, up to ReadyForQuery. It may have several statements.
//   - EXECUTE: an Execute with the messages before it, since the last one (Parse, Bind,
//     Describe, Close). The target is the text of the prepared statement.
//   - PREPARE, BIND: a Parse or Bind that no Execute follows in its group of messages.
//   - DESCRIBE, CLOSE, SYNC: only where they fail.
//   - FUNCTION: a FunctionCall; the target is the function's number.
//   - CANCEL: a CancelRequest, which is never answered.
//
// The status is OK or the first SQLSTATE. What follows an error in a group of messages is passed over by the
// server, and has no answer. Messages that the server sends of its own accord (notices, notifications, changed
// parameters) are no answers. An error of its own accord is a call without a request.
package postgresql
