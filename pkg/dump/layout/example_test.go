package layout_test

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// A segment's name is made and parsed in one place.
func ExampleSegment() {
	name := layout.Segment{
		Opened: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
		Window: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44",
		Run:    "k3v9qa",
		Number: 1,
	}.Name()
	fmt.Println(name)
	s, ok := layout.ParseSegment(name)
	fmt.Println(s.Window, s.Run, s.Number, ok)
	// Output:
	// 20240506T070809Z_5f3c9a52_k3v9qa_001.pcapng
	// 5f3c9a52 k3v9qa 1 true
}
