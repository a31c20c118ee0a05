// Package test holds the end-to-end tests: each starts the real cmd/mosn as a
// process of its own, sends traffic through it on the loopback, and judges what
// was recorded with package oracle, which shares no code with the recorder.
//
// The binary is built once a run, under the race detector if the tests are.
package test
