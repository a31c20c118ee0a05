package tcpcopy

import (
	"context"
	"errors"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// idleMeter says that the machine has nothing to do.
type idleMeter struct{}

func (idleMeter) Read(context.Context) (strategy.Reading, error) {
	return strategy.Reading{CPUSource: "test", MemSource: "test"}, nil
}

// testLog writes to a test's log.
type testLog struct{ t *testing.T }

func (l testLog) Infof(format string, args ...any) { l.t.Logf("info: "+format, args...) }
func (l testLog) Warnf(format string, args ...any) { l.t.Logf("warn: "+format, args...) }
func (l testLog) Alertf(_, format string, args ...any) {
	l.t.Logf("alert: "+format, args...)
}

// testHost is a host without MOSN and with an idle machine.
func testHost(t *testing.T) host {
	return host{log: testLog{t}, roller: func() string { return "" }, meter: idleMeter{}}
}

// brokenMeter says that it cannot read.
type brokenMeter struct{}

func (brokenMeter) Read(context.Context) (strategy.Reading, error) {
	return strategy.Reading{}, errors.New("out of order")
}

// silentLog is for tests that log without end.
type silentLog struct{}

func (silentLog) Infof(string, ...any)          {}
func (silentLog) Warnf(string, ...any)          {}
func (silentLog) Alertf(string, string, ...any) {}
