package trigger

import (
	"cmp"
	"slices"
)

const (
	perConnection = 16 << 10 // bytes of decoders for each open connection, on average
	minMemory     = 4 << 20  // bytes that all decoders may have together even where there are few connections

	relieveEvery = 100e6 // nanoseconds between two searches for the largest decoders
	rejoinAfter  = 5e9   // nanoseconds without a connection that was shed
)

// limit returns how many bytes all decoders may have now.
func (s *Set) limit() int64 {
	return min(s.options.Decoders, max(minMemory, perConnection*s.connections.Load()))
}

// Spare returns how many bytes of Options.Decoders the decoders leave, for what else is
// kept of connections that are decoded.
func (s *Set) Spare() int64 { return max(0, s.options.Decoders-s.memory.Load()) }

// account accounts for what a decoding has in memory. If all have too much, the largest are
// given up.
func (m *Matcher) account(d *decoding) {
	size := decodingSize + d.decoder.Size() + d.held + len(d.calls)*progressSize
	if size == d.size {
		return
	}
	grown := size > d.size
	total := m.set.memory.Add(int64(size - d.size))
	d.size = size
	if grown && total > m.set.limit() {
		m.relieve(d)
	}
}

// relieve gives up decodings, beginning with the largest ones, until a sixteenth of the memory
// is free. Where it was done a moment ago, or where all are small, it gives up the one that has grown.
func (m *Matcher) relieve(grown *decoding) {
	limit := m.set.limit()
	if grown.at >= m.relieved+relieveEvery || grown.at < m.relieved {
		m.relieved = grown.at
		var large []*connection
		for _, c := range m.connections {
			if c != nil && c.decoding != nil && c.decoding.size > perConnection {
				large = append(large, c)
			}
		}
		slices.SortFunc(large, func(a, b *connection) int { return cmp.Compare(b.decoding.size, a.decoding.size) })
		for _, c := range large {
			if m.set.memory.Load() <= limit-limit/16 {
				break
			}
			m.shedConnection(c, grown.at)
		}
	}
	if m.set.memory.Load() > limit && grown.conn.decoding == grown {
		m.shedConnection(grown.conn, grown.at)
	}
}

// shedConnection ends the decoding of a connection, or does not begin one, for want of
// memory.
func (m *Matcher) shedConnection(c *connection, t int64) {
	m.drop(c)
	if !c.shed {
		c.shed = true
		m.shedHere++
	}
	m.set.shedConns.Add(1)
	m.shedAt = t
	if !m.set.full.Swap(true) && m.set.options.Report != nil {
		m.set.options.Report(ErrDecoders)
	}
}

// rejoin decodes connections again that were shed, from where they are, if the memory is
// half empty and has not been full for a while.
func (m *Matcher) rejoin(now int64) {
	if now < m.shedAt+rejoinAfter {
		return
	}
	for _, c := range m.connections {
		if m.set.memory.Load() > m.set.limit()/2 {
			return
		}
		if c != nil && c.shed {
			m.set.full.Store(false)
			c.shed = false
			m.shedHere--
			m.join(c, now)
		}
	}
}
