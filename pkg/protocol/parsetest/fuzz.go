package parsetest

import (
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// FuzzStreams fuzzes a parser with the bytes of both directions, in pieces of varying lengths, one of which is a gap.
// Its seeds are the sessions in testdata.
func FuzzStreams(f *testing.F, p *parse.Protocol) {
	for _, session := range Sessions(f) {
		f.Add(session.Stream(record.In), session.Stream(record.Out), uint16(100))
	}
	f.Fuzz(func(_ *testing.T, in, out []byte, gap uint16) {
		e := env(&Recorder{})
		e.Memory = 1 << 16
		r := parse.NewRunner(p, e)
		var next [2]uint64
		for i := 0; len(in)+len(out) > 0; i++ {
			for dir, data := range []*[]byte{&in, &out} {
				n := min(len(*data), 1+i*37%200)
				piece := (*data)[:n]
				*data = (*data)[n:]
				var err error
				if i == int(gap) {
					err = r.Gap(record.Direction(dir), next[dir], uint64(n))
				} else {
					err = r.Data(record.Direction(dir), next[dir], Start.Add(time.Duration(i)*time.Millisecond), piece)
				}
				if err != nil {
					return
				}
				next[dir] += uint64(n)
			}
		}
		r.End(parse.End{Closed: true})
	})
}
