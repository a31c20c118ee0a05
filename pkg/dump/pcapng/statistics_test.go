package pcapng_test

import (
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// The statistics have as many listeners as there is room for, and how many more there are.
func TestStatisticsOfManyListenersAreBounded(t *testing.T) {
	for _, n := range []int{0, 1, 60, 1000} {
		s := pcapng.Statistics{Window: dumptest.Window, Opened: dumptest.Time, Closed: dumptest.Time + 1}
		for i := range n {
			s.Listeners = append(s.Listeners, pcapng.ListenerStatistics{
				Name: fmt.Sprintf("listener %d", i), Network: "tcp", Port: fmt.Sprint(i),
				Traffic: pcapng.Traffic{Received: 3, Dropped: 1, LostBy: [record.NumReasons]uint64{record.ReasonGuard: 5}},
			})
		}
		block := pcapng.AppendStatistics(nil, dumptest.Time, s)
		if len(block) > pcapng.StatisticsRoom {
			t.Errorf("%d listeners: a block of %d bytes, want %d at most", n, len(block), pcapng.StatisticsRoom)
		}
		shown := strings.Count(string(block), "listener=")
		more := fmt.Sprintf("more_listeners=%d", n-shown)
		if has := strings.Contains(string(block), more); has != (shown < n) || n == 1 && shown != 1 {
			t.Errorf("%d listeners: %d are shown, %q is there: %t", n, shown, more, has)
		}
		if n > 0 && !strings.Contains(string(block), fmt.Sprintf("window=%s lost_guard=%d", dumptest.Window, 5*n)) {
			t.Errorf("%d listeners: their losses are not added up", n)
		}
	}
}
