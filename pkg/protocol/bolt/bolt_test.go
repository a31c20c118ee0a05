package bolt

import (
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/rpc/rpctest"
)

func TestKnown(t *testing.T) { rpctest.Known(t, &Protocol) }

func TestProperties(t *testing.T) {
	others := map[string]parsetest.Session{}
	for name, s := range sessions {
		others[name] = s.session
	}
	rpctest.Check(t, &Protocol, others)
}

func FuzzParser(f *testing.F) { rpctest.Fuzz(f, &Protocol) }

func BenchmarkParser(b *testing.B) {
	for name, session := range parsetest.Sessions(b) {
		b.Run(name, func(b *testing.B) { rpctest.Bench(b, &Protocol, session) })
	}
}
