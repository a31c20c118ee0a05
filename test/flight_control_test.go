package test

import (
	"net/http"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// The requests of the flight recorder are there, and say what is wrong with them.
func TestTheFlightRecorderIsControlledThroughAdmin(t *testing.T) {
	t.Parallel()
	const capture, flight = "/api/v1/tcpcopy/capture", "/api/v1/tcpcopy/flight"
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	ctx := deadline(t)
	refused := func(status int, method, target, body string, words ...string) {
		t.Helper()
		_, err := m.Admin.Do(ctx, method, target, "", []byte(body))
		refusedWith(t, err, status, words...)
	}
	refused(http.StatusConflict, http.MethodPost, capture, "", "there is no ring", "no flight block is configured")
	refused(http.StatusBadRequest, http.MethodPost, capture+"?before=30&scope=all&when=now", "", "before", "scope", "connection, listener, process", "when")
	refused(http.StatusBadRequest, http.MethodPut, flight, `{"size":"1","befor":"1s","triggers":[{"name":"a","where":"latncy > 1s"}]}`,
		"flight.size", "1MiB … 64GiB", "flight.befor", "flight.triggers[0].where", "did you mean latency?")
	if _, err := m.Admin.Do(ctx, http.MethodPut, flight, "", []byte(`{"size":"0"}`)); err != nil {
		t.Error(err)
	}
	refused(http.StatusConflict, http.MethodPost, capture, "", "flight.size is 0")
	if err := m.Admin.Configure(ctx, "global", `{"switch":"FORCE_OFF"}`); err != nil {
		t.Fatal(err)
	}
	refused(http.StatusConflict, http.MethodPost, capture, "", "FORCE_OFF")
}
