package http1_test

import (
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

func FuzzParser(f *testing.F) {
	for _, s := range sessions {
		var streams [2][]byte
		for _, p := range s {
			streams[p.Dir] = append(streams[p.Dir], p.Data...)
		}
		f.Add(streams[record.In], streams[record.Out], true)
	}
	f.Fuzz(func(_ *testing.T, requests, answers []byte, closed bool) {
		_, _ = parsetest.Decode(&http1.Protocol, parsetest.Talk(">"+string(requests), "<"+string(answers)), closed)
	})
}
