package dump

import (
	"net/netip"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Filter says which records are wanted. Its zero value wants all; a field that is
// set narrows that.
type Filter struct {
	Window string       // a window's id or its first characters
	Conn   string       // a connection's identity
	Port   string       // the listener's port, or the path of its Unix socket
	Peer   netip.Prefix // network of the client's address
	// PeerPort is the client's port; 0 means any.
	PeerPort     uint16
	Since, Until time.Time // records from Since on and before Until

	// Only, when not nil, is the one direction whose bytes and gaps are wanted.
	// Openings and closes have no direction.
	Only *record.Direction
}

// Match reports whether r is wanted.
func (f *Filter) Match(r *record.Record) bool {
	if f.Window != "" && !strings.HasPrefix(r.Window, f.Window) ||
		f.Conn != "" && r.Conn != f.Conn ||
		f.Port != "" && r.Port != f.Port ||
		!f.Since.IsZero() && r.Time.Before(f.Since) ||
		!f.Until.IsZero() && !r.Time.Before(f.Until) {
		return false
	}
	if f.Only != nil && (r.Kind == record.KindData || r.Kind == record.KindGap) && r.Direction != *f.Only {
		return false
	}
	return f.matchPeer(r.Peer)
}

// wantsSet reports whether a segment set can hold records that are wanted.
func (f *Filter) wantsSet(s *layout.SegmentSet) bool {
	n := min(len(s.Window), len(f.Window))
	return s.Window[:n] == f.Window[:n] && (f.Until.IsZero() || s.Opened.Before(f.Until))
}

func (f *Filter) matchPeer(peer string) bool {
	if !f.Peer.IsValid() && f.PeerPort == 0 {
		return true
	}
	a, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	if f.PeerPort != 0 && a.Port() != f.PeerPort {
		return false
	}
	return !f.Peer.IsValid() || f.Peer.Contains(a.Addr().Unmap().WithZone(""))
}
