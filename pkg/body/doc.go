// Package body undoes the codings of message bodies: the Content-Encoding and the
// Transfer-Encoding of HTTP and of protocols that borrow them. Which codings there are is
// injected: [Standard] has those that the standard library can decode, and the tool adds
// others. Decoding is bounded, so that a few bytes cannot become gigabytes.
//
// The filter and the commands of the tool use it to answer package query.
package body
