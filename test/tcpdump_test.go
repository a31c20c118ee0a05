package test

import (
	"net"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/program"
)

// What tcpdump sees of a port on the loopback and what the filter records of the
// listener are the same streams.
func TestTcpdumpSeesTheSameStreams(t *testing.T) {
	t.Parallel()
	program.Require(t, "tshark")
	const connections = 32
	base, address := newBase(t), freeAddress(t)
	output := block{"output": block{"dir": dumpDir(base), "formats": []string{"pcapng"}}}
	listener := mosnproc.NewListener("tcp", address, recorder(base, roomy(), output), mosnproc.TCPProxy())
	m := start(t, base, configOf(upstream(t, answerExchanges), listener))
	sniffed := sniff(t, address)

	id := m.open()
	taps := exchangeAll(t, connections, 2, func() (net.Conn, error) { return net.Dial("tcp", address) })
	w := m.close(id)
	path := sniffed.end(t)

	complete(t, w)
	recorded := openCapture(t, m.segments(w)...)
	recorded.opaque(listener)
	sameBytes(t, recorded.streams(connections), taps)
	packets := openCapture(t, path)
	packets.opaque(listener)
	sameBytes(t, packets.streams(connections), taps)
}
