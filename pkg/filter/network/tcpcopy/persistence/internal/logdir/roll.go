package logdir

import "time"

// Roll says when a file is rolled, and what happens to the archived ones. A zero
// field means that nothing is done for that reason.
type Roll struct {
	Size     int64         // bytes after which a file is rolled
	Every    time.Duration // whole hours of the local day after which a file is rolled
	Age      time.Duration // archived files older than that are removed
	Keep     int           // how many archived files are kept
	Compress bool          // archived files are compressed with gzip
}

// due reports whether a file of that size, created at createdAt, is to be rolled
// before more bytes are appended at now. An empty file is never rolled.
func (r Roll) due(size, more int64, createdAt, now time.Time) bool {
	return size > 0 && (r.full(size, more) || r.overdue(createdAt, now))
}

// full reports whether more bytes are too many for a file of that size.
func (r Roll) full(size, more int64) bool { return r.Size > 0 && size+more > r.Size }

// overdue reports whether a file that was created at createdAt has had its time.
func (r Roll) overdue(createdAt, now time.Time) bool {
	return r.Every > 0 && r.period(createdAt) != r.period(now)
}

// period numbers the stretches of Every of the local days, so that a file is
// rolled at the same hours each day.
func (r Roll) period(t time.Time) int {
	t = t.Local()
	hours := int(r.Every / time.Hour)
	return (t.Year()*366+t.YearDay())*24 + t.Hour()/hours
}
