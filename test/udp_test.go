package test

import (
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
)

func TestDatagramsAreRecordsOfTheirOwn(t *testing.T) {
	t.Parallel()
	m, w, conn, sent := recordDatagrams(t, "hex_meta")
	all := m.connections(w)
	if len(all) != 1 || all[0].Client != conn.LocalAddr().String() {
		t.Fatalf("%d connections: %+v", len(all), all)
	}
	for _, s := range []oracle.Stream{all[0].In, all[0].Out} {
		var got []string
		for _, p := range s.Pieces {
			got = append(got, string(p.Payload))
		}
		if strings.Join(got, "|") != strings.Join(sent, "|") {
			t.Errorf("recorded %d datagrams: %.80q", len(got), got)
		}
	}
}
