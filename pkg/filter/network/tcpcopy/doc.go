// Package tcpcopy is a MOSN network filter that records the traffic of the
// connections that pass through a listener, in sample windows and only while the
// host has processor and memory to spare. Import it for its registration:
//
//	import _ "mosn.io/tcpcopy/pkg/filter/network/tcpcopy"
//
// # The way through the code
//
// A connection's filter (filter.go) asks the gate whether a window is open. In a
// window it hands the bytes that are new to the window's session, which copies
// them and returns. When to record is decided in package strategy, how it is kept
// in package persistence, what the files look like in package dump. This package
// alone knows MOSN; it joins the others:
//
//	settings.go         a listener's configuration block, read and checked
//	block.go            a JSON object taken apart so that all its faults are found
//	factory.go          MOSN's factory, one a listener
//	recorder.go         the process-wide recorder that all listeners share
//	filter.go           one connection
//	portrait.go         what applications report about themselves
//	portrait_stream.go  the stream filter that reports request headers
//	admin.go            the requests of MOSN's admin server
//	extends.go          MOSN's extends block
//	watch.go            the watched file
//	metrics.go          what Prometheus sees
//	doors.go            what code written for the first implementation finds
//	registration.go     the only package-level state, where MOSN's registration forces it
//
// README.md tells how to use it, docs/design.md why it is as it is, and
// docs/format.md what the files hold.
package tcpcopy
