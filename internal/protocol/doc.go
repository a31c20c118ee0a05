// Package protocol knows by what bytes application protocols are recognised. The
// encoder of pcapng files, the export and the replayer call it.
package protocol
