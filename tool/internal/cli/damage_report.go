package cli

import (
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// maxDamage is how many damaged places are named one by one.
const maxDamage = 20

// damageReport tells the user of damaged files, without flooding the terminal.
type damageReport struct {
	w     io.Writer
	count int
}

func (d *damageReport) add(e *record.DamageError) {
	d.count++
	if d.count <= maxDamage {
		fmt.Fprintln(d.w, "tcpcopyctl:", printable(e.Error()))
	}
}

// finish says how many places were not named.
func (d *damageReport) finish() {
	if d.count > maxDamage {
		fmt.Fprintf(d.w, "tcpcopyctl: %d more damaged places\n", d.count-maxDamage)
	}
}
