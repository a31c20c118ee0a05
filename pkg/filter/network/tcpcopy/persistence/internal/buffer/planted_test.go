package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// newDump returns a dump directory.
func newDump(t *testing.T) *safedir.Dir {
	t.Helper()
	d := safedir.New(t.TempDir())
	t.Cleanup(d.Close)
	return d
}

func header(dump *safedir.Dir) SpoolHeader {
	return SpoolHeader{Dir: dump.Path(), Run: "r", Window: "w", Workers: 2, Batch: 16 << 10, Formats: []string{"hex_meta"}}
}

// Where a spool or its pointer would be somebody's, there is none, and memory is plain.
func TestSpoolsAreCreatedInSafeDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		root    bool // the case needs root
		prepare func(t *testing.T, spools string, dump *safedir.Dir) error
	}{
		"somebody's link": {root: true, prepare: func(t *testing.T, spools string, _ *safedir.Dir) error {
			return errors.Join(os.Symlink(t.TempDir(), spools), os.Lchown(spools, 65534, 65534))
		}},
		"all may write": {prepare: func(_ *testing.T, spools string, _ *safedir.Dir) error {
			return errors.Join(os.Mkdir(spools, 0o700), os.Chmod(spools, 0o777))
		}},
		"somebody's": {root: true, prepare: func(_ *testing.T, spools string, _ *safedir.Dir) error {
			return errors.Join(os.Mkdir(spools, 0o755), os.Chown(spools, 65534, 65534))
		}},
		"a link has the pointer's name": {prepare: func(t *testing.T, _ string, dump *safedir.Dir) error {
			return os.Symlink(filepath.Join(t.TempDir(), "x"), dump.Join(layout.SpoolPointerPrefix+"r-w"))
		}},
		"a pipe has the pointer's name": {prepare: func(_ *testing.T, _ string, dump *safedir.Dir) error {
			return unix.Mkfifo(dump.Join(layout.SpoolPointerPrefix+"r-w"), 0o600)
		}},
		"a link has the spool's name": {prepare: func(t *testing.T, spools string, _ *safedir.Dir) error {
			return errors.Join(os.Mkdir(spools, 0o700), os.Symlink(filepath.Join(t.TempDir(), "x"), filepath.Join(spools, "r-w"+layout.SpoolExtension)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			spools, dump := filepath.Join(t.TempDir(), "spools"), newDump(t)
			if err := c.prepare(t, spools, dump); err != nil {
				t.Fatal(err)
			}
			s, fault, err := NewSpool(spools, dump, header(dump), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Remove()
			if fault == nil || s.file != nil || s.mapped.mem == nil {
				t.Errorf("fault %v", fault)
			}
		})
	}
}

// A pointer leads to a spool in a safe directory, or nowhere.
func TestPointersToNoSpoolAreRefused(t *testing.T) {
	limits := Limits{Workers: 8, Buffer: 2 << 20}
	dump, spools := newDump(t), t.TempDir()
	s, fault, err := NewSpool(spools, dump, header(dump), nil)
	if err := errors.Join(fault, err); err != nil {
		t.Fatal(err)
	}
	path := s.Path()
	s.Leave()
	const pointer = layout.SpoolPointerPrefix + "r-w"
	opened, err := OpenSpool(dump, pointer, limits)
	if err != nil {
		t.Fatal(err)
	}
	opened.Leave()

	link, named := filepath.Join(t.TempDir(), "link"), filepath.Join(spools, "named.spool")
	pipe := filepath.Join(spools, "pipe.spool")
	if err := errors.Join(os.Symlink(spools, link), os.Link(path, filepath.Join(t.TempDir(), "second")), os.Symlink(path, named), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "relative": "r-w.spool", "two lines": path + "\n" + path, "of gigabytes": strings.Repeat("/x", 1<<20),
		"through a link": filepath.Join(link, filepath.Base(path)), "to a link": named, "to a pipe": pipe, "to a directory": spools,
		"to a file with a second name": path,
	} {
		if err := os.WriteFile(dump.Join(pointer), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSpool(dump, pointer, limits); err == nil {
			s.Leave()
			t.Errorf("a pointer %s opens %s", name, s.Path())
		}
	}
	if err := errors.Join(os.Remove(dump.Join(pointer)), unix.Mkfifo(dump.Join(pointer), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(dump, pointer, limits); !errors.Is(err, safedir.ErrFile) {
		t.Errorf("a pipe: %v", err)
	}
}
