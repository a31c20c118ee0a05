package tcpcopy_test

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy"
)

// MOSN calls CreateTcpcopyFactory with the configuration of a listener's filter. A
// faulty one is refused with all its faults; the listener then works without the
// filter.
func ExampleCreateTcpcopyFactory() {
	_, err := tcpcopy.CreateTcpcopyFactory(map[string]any{
		"strategy": map[string]any{"switch": "ON", "interval": 60, "duration": 5},
		"capture":  map[string]any{"direction": "both"},
		"output":   map[string]any{"formats": []string{"hex_meta"}},
	})
	fmt.Println(err)
	_, err = tcpcopy.CreateTcpcopyFactory(map[string]any{
		"capture": map[string]any{"direction": "responses"},
		"output":  map[string]any{"formats": []string{"pcap"}, "max_total": 1000},
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// tcpcopy: capture.direction is "responses", valid: request, both
	// output.formats is "pcap", valid: hex, hex_meta, pcapng
	// output.max_total is 1000, valid: 0 (no limit), or 1MiB at least
}
