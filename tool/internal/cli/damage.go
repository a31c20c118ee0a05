package cli

import (
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// maxDamage is how many damaged places have a line each.
const maxDamage = 20

// maxRemarks is how many remarks are written.
const maxRemarks = 20

// damageReport writes a line for each of the first maxDamage damaged places, and
// counts all.
type damageReport struct {
	w       io.Writer
	count   int
	remarks int
}

// remark writes a line about what is no damage, each sentence once per place.
func (d *damageReport) remark(sentence string) {
	if d.remarks++; d.remarks <= maxRemarks {
		fmt.Fprintln(d.w, "tcpcopyctl:", printable(sentence))
	}
}

func (d *damageReport) add(e *record.DamageError) {
	d.count++
	if d.count <= maxDamage {
		fmt.Fprintln(d.w, "tcpcopyctl:", printable(e.Error()))
	}
}

// finish writes how many places have no line.
func (d *damageReport) finish() {
	if d.count > maxDamage {
		fmt.Fprintf(d.w, "tcpcopyctl: %d more damaged places\n", d.count-maxDamage)
	}
}
