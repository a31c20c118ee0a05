// Package har makes entries of HAR 1.2 of calls
// (http://www.softwareishard.com/blog/har-12-spec/): of those of HTTP, of gRPC, which are
// requests of HTTP/2 there, and of WebSocket, whose messages are part of the entry of their
// upgrade, as browsers have them. The command export writes them to a file.
//
// What HAR has no field for is in fields whose names begin with "_": "_tcpcopy" has the
// JSON form of the call, see docs/calls.md.
package har
