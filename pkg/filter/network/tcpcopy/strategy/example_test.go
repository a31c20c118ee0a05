package strategy_test

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// printSink prints what a Controller does with it.
type printSink struct{}

func (printSink) OpenWindow(w record.Window) (strategy.WindowSink, error) {
	fmt.Println("open a window, trigger", w.Trigger)
	return printSink{}, nil
}

func (printSink) Pause(r record.Reason)  { fmt.Println("pause", r) }
func (printSink) Resume(r record.Reason) { fmt.Println("resume", r) }
func (printSink) Close(time.Time)        { fmt.Println("close the window") }
func (printSink) Discard()               { fmt.Println("discard") }

// A manual window: whoever has traffic asks Open, which is nil outside a window.
func Example() {
	c := strategy.New(strategy.Options{Sink: printSink{}})
	defer c.Close()
	c.SetGuard(false) // record whatever the load
	fmt.Println("window open:", c.Open() != nil)
	if _, err := c.OpenManual(time.Minute); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("window open:", c.Open() != nil)
	if _, err := c.CloseWindow(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// window open: false
	// open a window, trigger manual
	// window open: true
	// close the window
}
