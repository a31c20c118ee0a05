package strategy

import "time"

// guardLogEvery is how often the log has a line that the guard is down: a guard that
// goes down again and again is one line a minute, with a count.
const guardLogEvery = time.Minute

// guardLog writes to the log when the guard goes down and when it is up again. The
// Controller's loop owns it.
type guardLog struct {
	log    Logger
	down   bool      // the last line says that the guard is down
	next   time.Time // before this there is no further line that it is down; zero before the first
	missed int       // how often it has gone down without a line of its own
}

// went counts that the guard has gone down.
func (l *guardLog) went() { l.missed++ }

// show writes a line if the verdict is another one than that of the last line.
func (l *guardLog) show(v verdict, why string, now time.Time) {
	switch {
	case v == verdictDown && !l.down && !now.Before(l.next):
		l.down, l.next = true, now.Add(guardLogEvery)
		if again := l.missed - 1; again > 0 {
			l.log.Warnf("guard is down, nothing is recorded: %s (it went down %d more times since the last line)", why, again)
		} else {
			l.log.Warnf("guard is down, nothing is recorded: %s", why)
		}
		l.missed = 0
	case v == verdictUp && l.down:
		l.down = false
		l.log.Infof("guard is up again: %s", why)
	case v == verdictUp && l.missed > 0 && !now.Before(l.next):
		l.log.Infof("guard is up: %s (it went down %d more times since the last line)", why, l.missed)
		l.missed = 0
	}
}
