// Package record defines what the recorder writes and the readers read back: the
// direction of bytes, the connection and window that they belong to, gaps and
// their reasons, the events of a connection, and the accounts of a window.
//
// It is the lowest package of the project. The filter, the encoders and decoders
// of pkg/dump, the replayer and the command-line tool all import it; it imports
// none of them.
package record
