// Package dumptest holds what the tests of pkg/dump and its encoders share: made-up
// connections and their events, and the programs and packages that their files are
// compared with.
package dumptest
