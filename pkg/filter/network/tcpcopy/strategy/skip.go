package strategy

import (
	"errors"
	"slices"

	"mosn.io/tcpcopy/pkg/record"
)

// maxSkips bounds the skips in the status.
const maxSkips = 16

// skip records that a window stays closed: in the status, in the log and, through
// Options.Skipped, for the index. This is the one way there, for every reason. Windows
// in a row that are skipped for the same reason are one skip. The log has the first of
// them; it has what the guard does anyway, and whoever asks for a window is answered.
func (c *Controller) skip(trigger record.Trigger, reason record.SkipReason, why string) {
	now := c.now()
	one := record.Skip{Reason: reason, Trigger: trigger, Windows: 1, First: now, Last: now, Why: why}
	c.skipped.Windows++
	c.skipped.Reason = why
	list := slices.Clone(c.skipped.List) // published statuses have the one before
	again := false
	if n := len(list); n > 0 && list[n-1].Continues(&one) {
		again = c.skipping
		list[n-1].Add(&one)
	} else {
		list = append(list[max(0, n-maxSkips+1):], one)
	}
	c.skipped.List = list
	c.skipping = true
	if c.onSkip != nil {
		c.onSkip(one)
	}
	c.publish()
	if trigger == record.TriggerSchedule && reason != record.SkipGuard && !again {
		c.log.Warnf("%s; next try in %d s", why, c.effective.config.Interval)
	}
}

// reasonOf returns the reason of an error that keeps a window closed.
func reasonOf(err error) record.SkipReason {
	var skip *record.SkipError
	switch {
	case errors.As(err, &skip):
		return skip.Reason
	case errors.Is(err, ErrForceOff):
		return record.SkipForceOff
	case errors.Is(err, ErrGuardDown):
		return record.SkipGuard
	case errors.Is(err, ErrBusy):
		return record.SkipBusy
	default:
		return record.SkipOther
	}
}
