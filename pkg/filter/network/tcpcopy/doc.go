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
//	settings.go      a listener's configuration block, read and checked
//	factory.go       MOSN's factories: network filter and portrait stream filter
//	recorder.go      the process-wide recorder that all listeners share
//	filter.go        one connection
//	portrait.go      what applications report about themselves
//	admin.go         the requests of MOSN's admin server
//	extends.go       MOSN's extends block
//	metrics.go       what Prometheus sees
//	registration.go  the only package-level state, where MOSN's registration forces it
package tcpcopy
