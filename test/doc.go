// Package test holds the end-to-end tests: each starts the real cmd/mosn as a
// process of its own, sends traffic through it on the loopback, and checks the
// recording with package oracle, which shares no code with the recorder.
//
// The files named harness_*_test.go start processes, servers and clients, and compare
// what was recorded with what was sent. The other files hold the cases, one behaviour
// each.
//
// The binary is built once a run, under the race detector if the tests are.
package test
