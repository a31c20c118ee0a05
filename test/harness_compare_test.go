package test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// sameBytes fails the test unless the recorded connections are those of the taps: each
// tap has one whose two streams are what it sent and received, byte for byte.
// They are matched by what was sent, because connections over a Unix socket all
// have the same name.
func sameBytes(t *testing.T, recorded []*oracle.Connection, taps []*wiretap.Conn) {
	t.Helper()
	if len(recorded) != len(taps) {
		t.Errorf("%d recorded connections of %d", len(recorded), len(taps))
	}
	bySent := map[[sha256.Size]byte]*oracle.Connection{}
	for _, c := range recorded {
		sent, err := c.In.Bytes()
		if err != nil {
			t.Errorf("connection %s: %v", c.Conn, err)
		}
		bySent[sha256.Sum256(sent)] = c
	}
	for i, tap := range taps {
		sent := tap.Written()
		c := bySent[sha256.Sum256(sent)]
		if c == nil {
			t.Errorf("connection %d: no recorded stream equals the %d bytes that it sent", i, len(sent))
			continue
		}
		got, err := c.Out.Bytes()
		if err != nil {
			t.Errorf("connection %s: %v", c.Conn, err)
		}
		if want := tap.WasRead(); !bytes.Equal(got, want) {
			t.Errorf("connection %s: recorded %d bytes of answers that differ from the %d received", c.Conn, len(got), len(want))
		}
		if local := tap.LocalAddr().String(); local != "" && local != "@" && c.Client != local {
			t.Errorf("connection %s: recorded client is %s, want %s", c.Conn, c.Client, local)
		}
	}
}
