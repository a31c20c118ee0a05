// Package pcapng encodes and decodes records as pcapng files, with IP and TCP or UDP
// headers that are made up for the purpose, so that Wireshark and tcpdump read them.
// The recorder's workers and the export of the command-line tool call the encoder,
// pkg/dump calls the decoder. docs/format.md describes the blocks.
//
// Functions that append return the extended slice and do not keep it.
package pcapng
