package replay

import (
	"bytes"
	"fmt"
	"time"
)

// judge compares the sides of pairs.
type judge struct {
	rules   *rules
	timeout time.Duration // an answer that takes so much longer than recorded is late
}

// finding is a difference that may turn out to be noise.
type finding struct {
	Difference
	late   bool
	want   []byte // what is compared; the finding's own
	got    []byte
	forced bool     // not only by their bytes
	places []string // of the changes that the baseline does not explain
}

// verdict compares the sides of p. A finding comes with Different and Missing.
func (j *judge) verdict(p *pair) (Verdict, *finding) {
	right := Equal
	if p.timed && p.now > p.then+j.timeout {
		right = Late
	}
	if p.same {
		return right, nil
	}
	d := Difference{Turn: p.turn, Label: p.label, Request: bytes.Clone(p.request)}
	want := j.rules.view(&p.want)
	if p.got.length == 0 && p.want.length > 0 {
		d.Verdict = Missing
		d.Recorded = excerpt(want, 0, p.want.length)
		return Missing, &finding{Difference: d, forced: true}
	}
	got := j.rules.view(&p.got)
	if p.open && len(got) > len(want) {
		got = got[:len(want)]
	}
	rest := !p.open && (p.want.length-uint64(len(p.want.head)) != p.got.length-uint64(len(p.got.head)) || !bytes.Equal(p.want.sum(), p.got.sum()))
	if bytes.Equal(want, got) && !rest && !p.cut {
		return right, nil
	}
	d.Verdict = Different
	d.At = commonPrefix(want, got)
	d.Recorded, d.Replayed = excerpt(want, d.At, p.want.length), excerpt(got, d.At, p.got.length)
	switch {
	case p.cut:
		d.Note = "the answer has no end"
	case bytes.Equal(want, got):
		d.Note = fmt.Sprintf("the first %d bytes are equal, what is behind them is not", len(want))
	}
	return Different, &finding{Difference: d, late: right == Late, want: bytes.Clone(want), got: bytes.Clone(got), forced: rest || p.cut}
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	return firstDifference(a[:n], b[:n])
}

// An Excerpt has up to excerptBefore bytes before the first difference and
// excerptBytes in all, from a multiple of excerptAlign on.
const (
	excerptBefore = 64
	excerptBytes  = 512
	excerptAlign  = 16
)

func excerpt(b []byte, at int, total uint64) Excerpt {
	from := max(0, at-excerptBefore) / excerptAlign * excerptAlign
	from = min(from, len(b))
	return Excerpt{From: from, Bytes: bytes.Clone(b[from:min(len(b), from+excerptBytes)]), Total: total}
}

// baseline returns the noise in p, a pair of the recording and the old build, and the
// recorded answer that the noise is in. silent says that the old build did not answer.
func (j *judge) baseline(p *pair) (n noise, want []byte, silent bool) {
	if p.same {
		return nil, nil, false
	}
	if p.got.length == 0 {
		return nil, nil, p.want.length > 0
	}
	want = j.rules.view(&p.want)
	return noiseOf(diff(want, j.rules.view(&p.got))), want, false
}

// explain reports whether a difference is nothing but noise. If not, it keeps the
// places of the other changes.
func (f *finding) explain(n noise, silent bool) bool {
	if f.Verdict == Missing {
		return silent
	}
	if f.forced {
		return false
	}
	f.places = f.places[:0]
	ok := true
	for _, c := range diff(f.want, f.got) {
		if n.covers(c) {
			continue
		}
		if ok {
			f.at(c)
		}
		ok = false
		f.places = append(f.places, placeOf(f.want, c.aFrom))
	}
	return ok
}

// at moves the excerpts to a change that noise does not explain.
func (f *finding) at(c change) {
	totals := [2]uint64{f.Recorded.Total, f.Replayed.Total}
	f.At = c.aFrom + commonPrefix(f.want[c.aFrom:c.aTo], f.got[c.bFrom:c.bTo])
	f.Recorded = excerpt(f.want, c.aFrom, totals[0])
	f.Replayed = excerpt(f.got, c.bFrom, totals[1])
}
