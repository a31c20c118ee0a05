// Package tcpcopy is a MOSN network filter that records the traffic of the
// connections of a listener, in sample windows and only while the host has processor
// and memory to spare. Import it for its registration:
//
//	import _ "mosn.io/tcpcopy/pkg/filter/network/tcpcopy"
//
// The import registers the filter, the admin requests and the metrics. It starts no
// goroutine.
//
// # The way of a byte
//
// The filter of a connection (filter.go) asks the gate whether a window is open. In a
// window it hands the new bytes to the window's session, which copies them and
// returns. Package strategy decides when a window is open, package persistence writes
// the files, package dump and the packages below it know what is in them. Only this
// package knows MOSN; it joins the others. To find the place where
//
//   - a byte is copied: persistence/internal/buffer, Shard.Data
//   - a batch is written: persistence, pipeline.write, and batchWriter.writeEntries for
//     one output
//   - a gap becomes a line: pkg/dump/hexlog, MetaEncoder.Gap; a packet: pkg/dump/pcapng,
//     Encoder.Gap
//   - the name of a segment is made and parsed: pkg/dump/layout, Segment and ParseSegment
//   - a window opens and closes: strategy, Controller
//   - the layers of the switch are resolved: strategy, resolveLayers
//   - a configuration is refused: parseSettings and recorder.check here
//
// # Files of this package
//
//	settings.go         a listener's configuration block, parsed and checked
//	block.go            a JSON object that is parsed so that all its faults are found
//	factory.go          MOSN's factory, one per listener
//	recorder.go         the recorder of the process, shared by all listeners
//	owners.go           which listener's blocks are the process's
//	openlisteners.go    which listeners MOSN has now
//	stores.go           the dump directories of the recorder
//	room.go             the memory that a window may use
//	skips.go            windows that did not open, for the index
//	effective.go        MOSN's configuration in force, read piece by piece
//	static.go           the configuration file that the process was started with
//	filter.go           one connection
//	clients.go          which listener a gRPC call came to
//	portrait.go         what applications report about themselves
//	portrait_stream.go  the stream filter that reports request headers
//	admin.go            the requests of MOSN's admin server
//	authorize.go        who may change state or see payload
//	status.go           the answer to the status request
//	browser.go          requests that a page of another site may have sent
//	ownpeer.go          requests that the proxy sends to itself
//	token.go            the token file
//	extends.go          MOSN's extends block
//	watch.go            the watched file
//	metrics.go          the metrics
//	compat.go           what code written for the first implementation calls
//	registration.go     the only package-level state, which MOSN's registration needs
//
// README.md says how to use the filter, docs/design.md why it is built this way, and
// docs/format.md what the files contain.
package tcpcopy
