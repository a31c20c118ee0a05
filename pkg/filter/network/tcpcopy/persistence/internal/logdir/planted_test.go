package logdir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// must fails the test for an error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// victim makes a file outside of the dump directory, which keeps its text and mode.
func victim(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(path, []byte(text), 0o640), os.Chmod(path, 0o640))
	t.Cleanup(func() {
		got, err := os.ReadFile(path)
		info, errStat := os.Stat(path)
		if err = errors.Join(err, errStat); err != nil {
			t.Fatal(err)
		}
		if string(got) != text || info.Mode().Perm() != 0o640 {
			t.Errorf("the victim has mode %o and %q", info.Mode(), got)
		}
	})
	return path
}

// A log that is another file's name too is rolled: nothing is written to it, and
// nothing, such as an incomplete line, is cut off it.
func TestALogWithAnotherNameIsRolled(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, log *AppendLog){
		"chunk": func(t *testing.T, log *AppendLog) { must(t, log.Append([]byte("a line\n"))) },
		"transaction": func(t *testing.T, log *AppendLog) {
			log.SetMemory(pages(t, 1<<20))
			tx := begin(t, log)
			put(t, tx, "a line\n")
			must(t, tx.Commit())
			tx.End()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := Open(Options{Path: t.TempDir()})
			defer d.Close()
			log := d.Log(layout.FlowLog, Roll{})
			path := victim(t, "no whole line")
			must(t, os.Link(path, log.Path()))
			write(t, log)
			must(t, os.Link(log.Path(), filepath.Join(t.TempDir(), "backup"))) // later, too
			write(t, log)
			entries, err := os.ReadDir(d.folder.Path())
			must(t, err)
			if len(entries) != 3 {
				t.Errorf("the directory holds %v", entries)
			}
			if text, err := os.ReadFile(log.Path()); err != nil || string(text) != "a line\n" {
				t.Errorf("the log holds %q, %v", text, err)
			}
		})
	}
}

// What has the name of a log and ends with more bytes than a line can have is rolled: to
// look for its last line takes as long as it is large.
func TestALogWithoutLinesIsRolled(t *testing.T) {
	d := Open(Options{Path: t.TempDir()})
	defer d.Close()
	log := d.Log(layout.FlowLog, Roll{})
	must(t, os.WriteFile(log.Path(), []byte("a line\n"), 0o600), os.Truncate(log.Path(), 1<<36))
	must(t, log.Append([]byte("another line\n")))
	if text, err := os.ReadFile(log.Path()); err != nil || string(text) != "another line\n" {
		t.Errorf("the log holds %q, %v", text, err)
	}
	archives, err := d.folder.archivesOf(layout.FlowLog)
	if err != nil || len(archives) != 1 || archives[0].size != 1<<36 {
		t.Errorf("archives %+v, %v", archives, err)
	}
}

// What has the name of a log and is no regular file is an error.
func TestALogThatIsNoFileIsAnError(t *testing.T) {
	for name, plant := range map[string]func(t *testing.T, path string) error{
		"link":          func(t *testing.T, path string) error { return os.Symlink(victim(t, "text\n"), path) },
		"dangling link": func(t *testing.T, path string) error { return os.Symlink(filepath.Join(t.TempDir(), "x"), path) },
		"pipe":          func(_ *testing.T, path string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			alerts := 0
			d := Open(Options{Path: t.TempDir(), Alert: func(string, error) { alerts++ }})
			defer d.Close()
			log := d.Log(layout.FlowLog, Roll{})
			must(t, plant(t, log.Path()))
			if err := log.Append([]byte("a line\n")); err == nil || alerts != 1 {
				t.Errorf("%v, %d alerts", err, alerts)
			}
			must(t, os.Remove(log.Path()))
			log.Retry()
			must(t, log.Append([]byte("a line\n")))
		})
	}
}

// Temporary files are new ones, whatever has their name.
func TestTemporaryFilesAreNew(t *testing.T) {
	for name, plant := range map[string]func(t *testing.T, path string) error{
		"link":        func(t *testing.T, path string) error { return os.Symlink(victim(t, "text\n"), path) },
		"second name": func(t *testing.T, path string) error { return os.Link(victim(t, "text\n"), path) },
		"pipe":        func(_ *testing.T, path string) error { return unix.Mkfifo(path, 0o600) },
		"left over":   func(_ *testing.T, path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			d := Open(Options{Path: t.TempDir()})
			defer d.Close()
			archived := layout.Archive(layout.FlowLog, time.Now())
			zipped := d.folder.Join(archived + layout.GzipExtension)
			must(t,
				os.WriteFile(d.folder.Join(archived), bytes.Repeat([]byte("a line\n"), 1000), FileMode),
				plant(t, zipped+layout.TemporaryExtension),
				d.archive.compress(archived),
			)
			info, err := os.Lstat(zipped)
			must(t, err)
			if !info.Mode().IsRegular() || info.Mode().Perm() != FileMode || info.Size() > 7000 || exists(zipped+layout.TemporaryExtension) {
				t.Errorf("compressed: %v with %d bytes", info.Mode(), info.Size())
			}
		})
	}
}

// An archive is compressed by one process, also where that is of an earlier version,
// which has locked the temporary file.
func TestCompressingIsLeftToWhoIsAtIt(t *testing.T) {
	for _, suffix := range []string{"", layout.GzipExtension + layout.TemporaryExtension} {
		d := Open(Options{Path: t.TempDir()})
		defer d.Close()
		archived := layout.Archive(layout.FlowLog, time.Now())
		must(t, os.WriteFile(d.folder.Join(archived), []byte("a line\n"), FileMode))
		f, err := os.OpenFile(d.folder.Join(archived+suffix), os.O_RDWR|os.O_CREATE, FileMode)
		must(t, err)
		defer f.Close()
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX), d.archive.compress(archived))
		if !exists(d.folder.Join(archived)) || exists(d.folder.Join(archived+layout.GzipExtension)) {
			t.Errorf("%q is locked, and the archive has been compressed", suffix)
		}
	}
}

// A backup with hard links keeps what a recovery cuts off.
func TestWhatIsCutOffStaysInABackup(t *testing.T) {
	for name, d := range destinations(t) {
		t.Run(name, func(t *testing.T) {
			const window = "3f0c9b9e-0000-4000-8000-000000000000"
			tx := begin(t, d)
			put(t, tx, "[x]["+window+"]first\n")
			must(t, tx.Commit())
			inode, size := tx.Position()
			put(t, tx, "[x]["+window+"]second\n")
			must(t, tx.Commit())
			tx.End()
			entries, err := os.ReadDir(dirOf(d))
			must(t, err)
			backup := filepath.Join(t.TempDir(), "backup")
			must(t,
				os.Link(filepath.Join(dirOf(d), entries[0].Name()), backup),
				d.TruncateUncommitted(inode, size, window),
			)
			if all := content(t, dirOf(d)); uint64(len(all)) != size || strings.Contains(string(all), "second") {
				t.Errorf("%d bytes remain of %d", len(all), size)
			}
			if text, err := os.ReadFile(backup); err != nil || !strings.Contains(string(text), "second") {
				t.Errorf("the backup holds %d bytes, %v", len(text), err)
			}
		})
	}
}

// Segments and logs follow the path of their directory, where that is a good one.
func TestASwappedDirectoryIsNotWrittenTo(t *testing.T) {
	for name, d := range destinations(t) {
		t.Run(name, func(t *testing.T) {
			dir, trap := dirOf(d), t.TempDir()
			write := func(text string) error {
				d.Retry()
				tx, err := d.Begin()
				if err != nil {
					return err
				}
				defer tx.End()
				put(t, tx, text)
				return tx.Commit()
			}
			must(t, write("one line\n"), os.Rename(dir, dir+".moved"), os.Symlink(trap, dir))
			if err := write("another line\n"); err == nil || !strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("a link: %v", err)
			}
			must(t, os.Remove(dir), os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770))
			if err := write("another line\n"); err == nil || !strings.Contains(err.Error(), "0770") {
				t.Errorf("a directory that a group may write: %v", err)
			}
			must(t, os.Chmod(dir, 0o700), write("last line\n"))
			if all := content(t, trap); len(all) != 0 {
				t.Errorf("the trap holds %q", all)
			}
			if all := string(content(t, dir)); !strings.Contains(all, "last line\n") || strings.Contains(all, "one line") {
				t.Errorf("the directory holds %q", all)
			}
			if all := string(content(t, dir+".moved")); strings.Count(all, " line\n") != 1 {
				t.Errorf("the former directory holds %q", all)
			}
		})
	}
}
