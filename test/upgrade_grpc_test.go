package test

import (
	"bytes"
	"fmt"
	"testing"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// A hot upgrade moves gRPC connections in the middle of HTTP/2, which the gRPC server of
// the new process does not understand: MOSN's clients stall, with the filter or without
// it. What the old process writes after the move MOSN passes on to the new process
// (pkg/network/connection.go, transferWrite), which sends it or has closed by then. The
// old process's close lines tell those bytes from the ones it has sent itself.
func TestGRPCRecordsAreExactAcrossAHotUpgrade(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("MOSN takes more than half a minute")
	}
	base, address := newBase(t), freeAddress(t)
	u := startUpgradable(t, base, configOf("127.0.0.1:1", mosnproc.NewListener("grpc", address, recorder(base, roomy()),
		mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}})))
	oldWindow := u.open()
	callers := callUntilItFails(t, address, 4)
	u.hangUp()
	u.successor(u.pidFile)
	newWindow := u.openInSuccessor()
	<-u.Done() // the old process
	callers.wait()
	if err := u.Admin.CloseWindow(deadline(t)); err != nil {
		t.Fatal(err)
	}

	before, after := u.indexed(oldWindow), u.indexed(newWindow)
	complete(t, before)
	complete(t, after)
	olds, news := byClient(t, u.connections(before)), byClient(t, u.connections(after))
	passedOn := uint64(0)
	for _, tap := range callers.taps {
		client := tap.LocalAddr().String()
		old, next := olds[client], news[client]
		if old == nil || next == nil || old.Closed == nil || old.Closed.Reason != "moved" {
			t.Errorf("client %s is not in both processes, as one that has moved: %s, %s", client, ending(old), ending(next))
			continue
		}
		sent, received := tap.Written(), tap.WasRead()
		in, errIn := old.In.Bytes()
		out, errOut := old.Out.Bytes()
		nextIn, errNextIn := next.In.Bytes()
		nextOut, errNextOut := next.Out.Bytes()
		for _, err := range []error{errIn, errOut, errNextIn, errNextOut} {
			if err != nil {
				t.Fatal(err)
			}
		}
		until := old.Closed.TotalOut
		if uint64(len(in)) != old.Closed.TotalIn || until > uint64(len(out)) {
			t.Errorf("client %s: the old process has %d and %d bytes, its close line says %+v", client, len(in), len(out), old.Closed)
			continue
		}
		passedOn += uint64(len(out)) - until
		if all := append(in, nextIn...); !bytes.HasPrefix(sent, all) {
			t.Errorf("client %s sent %d bytes; the %d of both processes are not their beginning", client, len(sent), len(all))
		}
		// The new process resets a connection that it does not understand: what it has
		// sent last may not reach the client.
		if all := append(out[:until:until], nextOut...); !bytes.HasPrefix(all, received) || uint64(len(received)) < until {
			t.Errorf("client %s received %d bytes, which are not the %d that the old process sent and the %d of the new one",
				client, len(received), until, len(nextOut))
		}
	}
	if passedOn == 0 {
		t.Error("nothing was passed on: the test shows nothing")
	}
	t.Logf("%d bytes were passed on", passedOn)
}

// ending says how a connection's record ends.
func ending(c *oracle.Connection) string {
	switch {
	case c == nil:
		return "not recorded"
	case c.Closed == nil:
		return "open"
	default:
		return fmt.Sprintf("closed by %s after %d and %d bytes", c.Closed.Reason, c.Closed.TotalIn, c.Closed.TotalOut)
	}
}
