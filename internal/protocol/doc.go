// Package protocol knows by what bytes application protocols are recognised, from one read
// or write alone, and the frames of HTTP/2. The encoder of pcapng files, the export and the
// replayer call it.
//
// The decoders of pkg/protocol recognise otherwise: they may ask for more bytes, and must be
// right, because they give the connection to a parser. The answer here is a guess, made at
// once, also of protocols that have no parser (SSH, MQTT, AMQP, MongoDB, Memcached); the
// export counts the guesses of a port.
package protocol
