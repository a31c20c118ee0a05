package protocol_test

import (
	"testing"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// FuzzDecoder gives any bytes to a decoder that has to find the protocol, from the
// beginning or from the middle, with a gap or without, and over a checkpoint.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(get), []byte(ok), uint16(0), uint16(0))
	f.Add([]byte(get+get), []byte(down+"\x81\x02yo"), uint16(7), uint16(3))
	f.Add([]byte("PROXY TCP4 10.1.1.1 10.2.2.2 4711 80\r\n"+get), []byte("\x16\x03\x01\x00\x05\x02"), uint16(1000), uint16(50))
	f.Add([]byte(get+"\x00"), []byte(ok+"junk"), uint16(0), uint16(0))
	f.Add([]byte(get), []byte(ok+"junk"), uint16(0), uint16(27))
	f.Fuzz(func(_ *testing.T, in, out []byte, base, hole uint16) {
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{Memory: 64 << 10})
		d.Open(record.PerDirection{In: uint64(base)})
		at := min(int(hole), len(in))
		d.Data(record.In, uint64(base), parsetest.Start, in[:at])
		d.Data(record.Out, 0, parsetest.Start, out)
		if hole%2 == 1 {
			d.Gap(record.In, uint64(base)+uint64(at), 1, record.ReasonLimit)
			at = min(at+1, len(in))
		}
		resumed, err := protocol.Resume(r, d.Checkpoint())
		if err != nil {
			panic(err)
		}
		resumed.Data(record.In, uint64(base)+uint64(at), parsetest.Start, in[at:])
		resumed.Close(parsetest.Start, record.CloseRemote, record.PerDirection{In: uint64(base) + uint64(len(in)), Out: uint64(len(out))})
		resumed.End(parsetest.Start)
	})
}
