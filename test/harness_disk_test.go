package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// mountDump makes base's dump directory a file system in memory of that many MiB.
func mountDump(t *testing.T, base string, size int) {
	t.Helper()
	dir := dumpDir(base)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tcpcopy", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size)); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// ballast is a file that fills space.
type ballast struct {
	t    *testing.T
	path string
}

// newBallast fills share of the free space of dir's file system, or all of it.
func newBallast(t *testing.T, dir string, share float64) ballast {
	t.Helper()
	b := ballast{t, filepath.Join(dir, "ballast")}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		t.Fatal(err)
	}
	size := int64(share * float64(at.Bavail) * float64(at.Bsize))
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil && share < 1 {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil && share >= 1; {
		_, err = f.Write(block) // whatever the recorder has freed or left
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return b
}

func (b ballast) drop() {
	b.t.Helper()
	if err := os.Remove(b.path); err != nil {
		b.t.Fatal(err)
	}
}

// windowAccount is what has become of a window's bytes so far.
type windowAccount struct {
	Written oracle.PerDirection `json:"written"`
	Lost    oracle.PerDirection `json:"lost"`
	LostBy  map[string]uint64   `json:"lost_by"`
}

// account returns what the status has of the open window.
func (m *mosn) account() (a windowAccount) {
	m.t.Helper()
	var s struct {
		Window struct {
			Accounts *windowAccount `json:"accounts"`
		} `json:"window"`
	}
	s.Window.Accounts = &a
	m.decodeStatus(&s)
	return a
}

// alerts counts the alerts in the log that name what.
func (m *mosn) alerts(what string) int { return strings.Count(m.Log(), "[tcpcopy] "+what+":") }

// keptAgrees checks that all bytes that the window's records have are those that
// the clients sent and received, and that there are as many as the index says.
func (m *mosn) keptAgrees(w oracle.Window, visits []*visit) {
	m.t.Helper()
	originals := map[string][2][]byte{}
	for _, v := range visits {
		originals[v.LocalAddr().String()] = [2][]byte{record.In: v.Written(), record.Out: v.WasRead()}
	}
	d, err := dump.Open([]string{m.dump}, dump.Options{Filter: dump.Filter{Window: w.Window}})
	if err != nil {
		m.t.Fatal(err)
	}
	defer d.Close()
	kept := [2]uint64{}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			m.t.Fatal(err)
		}
		if r.Kind != record.KindData {
			continue
		}
		kept[r.Direction] += r.Length
		original := originals[r.Peer][r.Direction]
		if r.Offset > uint64(len(original)) || !bytes.HasPrefix(original[r.Offset:], r.Data) {
			m.t.Errorf("connection %s of %s: %d bytes at %d %v are not the client's", r.Conn, r.Peer, r.Length, r.Offset, r.Direction)
		}
	}
	if got := (oracle.PerDirection{In: kept[record.In], Out: kept[record.Out]}); got != w.Written {
		m.t.Errorf("the files hold %+v bytes, the index says %+v", got, w.Written)
	}
}
