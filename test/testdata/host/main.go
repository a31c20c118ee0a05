// Command host is a program that gets the filter from one import, as a MOSN or a
// Layotto does.
package main

import _ "mosn.io/tcpcopy/pkg/filter/network/tcpcopy"

func main() {}
