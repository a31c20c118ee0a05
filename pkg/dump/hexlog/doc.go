// Package hexlog encodes and decodes the lines of the flow log: records as hex text,
// in the form of the first implementation (hex) and in one that also says which
// connection, direction and offset the bytes have (hex_meta). The recorder's workers
// call the encoders; pkg/dump calls the decoder, which reads both forms.
// docs/format.md describes the lines.
package hexlog
