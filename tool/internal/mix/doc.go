// Package mix has no code of its own: its tests record the traffic of real clients and
// servers, in all protocols that the tool decodes, through a real MOSN, and compare the
// decoded calls with what the clients and servers noted.
package mix
