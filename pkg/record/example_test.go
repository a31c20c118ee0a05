package record_test

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/record"
)

// Accounts add up: what was seen is written or lost.
func ExampleAccounts_Plus() {
	first := record.Accounts{
		Connections: 1,
		Seen:        record.PerDirection{In: 100, Out: 2000},
		Written:     record.PerDirection{In: 100, Out: 1500},
		Lost:        record.PerDirection{Out: 500},
		LostBy:      map[string]uint64{record.ReasonBufferFull.String(): 500},
	}
	second := record.Accounts{
		Connections: 2,
		Seen:        record.PerDirection{In: 30},
		Written:     record.PerDirection{In: 30},
	}
	sum := first.Plus(second)
	for _, dir := range record.Directions() {
		fmt.Printf("%d seen, %d written, %d lost\n", sum.Seen.Of(dir), sum.Written.Of(dir), sum.Lost.Of(dir))
	}
	fmt.Println(sum.LostBy)
	// Output:
	// 130 seen, 130 written, 0 lost
	// 2000 seen, 1500 written, 500 lost
	// map[buffer_full:500]
}
