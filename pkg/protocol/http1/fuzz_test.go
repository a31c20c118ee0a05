package http1_test

import (
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
)

func FuzzParser(f *testing.F) {
	seeds := []parsetest.Session{pipelined}
	for _, s := range sessions {
		seeds = append(seeds, s)
	}
	parsetest.Fuzz(f, &http1.Protocol, seeds...)
}
