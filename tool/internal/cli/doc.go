// Package cli is the command line of tcpcopyctl: it reads what the recorder has
// written, and controls a running recorder through its admin API. cmd/tcpcopyctl
// calls Run, and so do the tests. Each command has a file of its own;
// on and off are in switch.go.
package cli
