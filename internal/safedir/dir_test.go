package safedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is a user that is neither root nor, in a test, this process's.
const nobody = 65534

// asRoot skips a test that gives files to other users.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// mkdir makes directories below root, of that mode whatever the umask.
func mkdir(t *testing.T, root, path string, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(root, path)
	must(t, os.MkdirAll(dir, 0o700), os.Chmod(dir, mode))
	return dir
}

func held(t *testing.T, path string) *Dir {
	t.Helper()
	d := New(path)
	t.Cleanup(d.Close)
	must(t, d.Prepare())
	return d
}

// Directories, and those above them, that can be held and that cannot.
func TestUnsafeDirectoriesAreRefused(t *testing.T) {
	const open = os.ModeSticky | 0o777
	for name, c := range map[string]struct {
		root  bool // the case needs root
		make  func(t *testing.T, root string) (path string)
		fault string // part of the error, "" for none
	}{
		"new":                         {make: func(_ *testing.T, root string) string { return filepath.Join(root, "a/b/c") }},
		"relative":                    {make: func(*testing.T, string) string { return "a/b" }, fault: "is not an absolute path"},
		"readable by all":             {make: func(t *testing.T, root string) string { return mkdir(t, root, "a", 0o755) }},
		"writable by its group":       {make: func(t *testing.T, root string) string { return mkdir(t, root, "a", 0o770) }, fault: "chmod go-w it"},
		"writable by all, and sticky": {make: func(t *testing.T, root string) string { return mkdir(t, root, "a", open) }, fault: "name a folder in it"},
		"a file": {make: func(t *testing.T, root string) string {
			path := filepath.Join(root, "a")
			must(t, os.WriteFile(path, nil, 0o600))
			return path
		}, fault: "not a directory"},
		"below a file": {make: func(t *testing.T, root string) string {
			path := filepath.Join(root, "a")
			must(t, os.WriteFile(path, nil, 0o600))
			return filepath.Join(path, "b")
		}, fault: "not a directory"},
		"a pipe": {make: func(t *testing.T, root string) string {
			path := filepath.Join(root, "a")
			must(t, unix.Mkfifo(path, 0o600))
			return path
		}, fault: "not a directory"},
		"a link": {make: func(t *testing.T, root string) string {
			must(t, os.Symlink(mkdir(t, root, "a", 0o700), filepath.Join(root, "b")))
			return filepath.Join(root, "b")
		}},
		"a link without a target": {make: func(t *testing.T, root string) string {
			must(t, os.Symlink("nowhere", filepath.Join(root, "b")))
			return filepath.Join(root, "b")
		}},
		"below a link": {make: func(t *testing.T, root string) string {
			mkdir(t, root, "data/logs", 0o700)
			must(t, os.Symlink("data", filepath.Join(root, "a")), os.Symlink("../data/logs", filepath.Join(root, "data/up")))
			return filepath.Join(root, "a/up/dump")
		}},
		"below a circle of links": {make: func(t *testing.T, root string) string {
			must(t, os.Symlink("b", filepath.Join(root, "a")), os.Symlink("a", filepath.Join(root, "b")))
			return filepath.Join(root, "a/c")
		}, fault: "too many levels of symbolic links"},
		// A volume of a pod. What others put there is theirs.
		"below what all may write": {make: func(t *testing.T, root string) string { return filepath.Join(mkdir(t, root, "a", 0o777), "dump") }},
		"below a volume of a group": {make: func(t *testing.T, root string) string {
			return filepath.Join(mkdir(t, root, "a", os.ModeSetgid|0o777), "b/dump")
		}},
		"below what all may write, sticky":       {make: func(t *testing.T, root string) string { return filepath.Join(mkdir(t, root, "a", open), "dump") }},
		"below a link in what all may write":     {make: func(t *testing.T, root string) string { return linked(t, root, 0o777) }, fault: "others may replace"},
		"below a link in a sticky directory":     {make: func(t *testing.T, root string) string { return linked(t, root, open) }},
		"below a second name of a link in there": {make: func(t *testing.T, root string) string { return secondName(t, root, open) }, fault: "others may replace"},

		"somebody's": {root: true, make: func(t *testing.T, root string) string {
			dir := mkdir(t, root, "a", 0o755)
			must(t, os.Chown(dir, nobody, nobody))
			return dir
		}, fault: "/a belongs to user 65534: nobody"},
		"below somebody's": {root: true, make: func(t *testing.T, root string) string {
			must(t, os.Chown(mkdir(t, root, "a", 0o755), nobody, nobody))
			return mkdir(t, root, "a/b/dump", 0o700)
		}, fault: "/a is not one that belongs to root"},
		"below somebody's link": {root: true, make: func(t *testing.T, root string) string {
			path := linked(t, root, open)
			must(t, os.Lchown(filepath.Join(root, "shared/link"), nobody, nobody))
			return path
		}, fault: "reached through safe symbolic links only"},
		"below a link to somebody's": {root: true, make: func(t *testing.T, root string) string {
			path := linked(t, root, 0o755)
			must(t, os.Chown(filepath.Join(root, "data"), nobody, nobody))
			return path
		}, fault: "/data is not one that belongs to root"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root {
				asRoot(t)
			}
			d := New(c.make(t, t.TempDir()))
			defer d.Close()
			err := d.Prepare()
			var unfit *UnfitError
			switch {
			case c.fault == "" && err == nil:
				info, err := os.Stat(d.Path())
				must(t, err)
				if info.Mode().Perm()&0o022 != 0 {
					t.Errorf("mode %o", info.Mode())
				}
				if names, err := d.Names(); err != nil || len(names) != 0 {
					t.Errorf("it holds %q, %v", names, err)
				}
			case c.fault == "" || !errors.As(err, &unfit) || !strings.Contains(err.Error(), c.fault):
				t.Errorf("error %v, want %q", err, c.fault)
			}
		})
	}
}

// linked returns a path below a link in a directory of that mode.
func linked(t *testing.T, root string, mode os.FileMode) string {
	t.Helper()
	shared := mkdir(t, root, "shared", mode)
	must(t, os.Symlink(mkdir(t, root, "data", 0o700), filepath.Join(shared, "link")))
	return filepath.Join(shared, "link/dump")
}

// secondName is linked, and the link has a second name.
func secondName(t *testing.T, root string, mode os.FileMode) string {
	t.Helper()
	path := linked(t, root, mode)
	must(t, os.Link(filepath.Join(root, "shared/link"), filepath.Join(root, "elsewhere")))
	return path
}

// A user who is not root holds what belongs to root above it, and nothing of others'.
func TestAnotherUserHoldsItsOwn(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for other users than root")
	}
	d := New(filepath.Join(t.TempDir(), "dump"))
	defer d.Close()
	must(t, d.Prepare())
	root := Existing("/")
	defer root.Close()
	if err := root.Prepare(); err == nil {
		t.Error("the root directory can be written")
	}
}

func TestAnExistingDirectoryIsNotCreated(t *testing.T) {
	d := Existing(filepath.Join(t.TempDir(), "a"))
	defer d.Close()
	if _, err := d.Names(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("names: %v", err)
	}
}

// Nothing but a regular file of this user is opened, and nothing blocks.
func TestOnlyOwnRegularFilesAreOpened(t *testing.T) {
	root := t.TempDir()
	d := held(t, mkdir(t, root, "dump", 0o700))
	elsewhere := filepath.Join(root, "elsewhere")
	must(t, os.WriteFile(elsewhere, []byte("text"), 0o640), os.Chmod(elsewhere, 0o640))
	must(t,
		os.Symlink(elsewhere, d.Join("link")),
		os.Symlink(filepath.Join(root, "nowhere"), d.Join("dangling")),
		os.Link(elsewhere, d.Join("second name")),
		unix.Mkfifo(d.Join("pipe"), 0o600),
		os.Mkdir(d.Join("directory"), 0o700),
		os.WriteFile(d.Join("file"), nil, 0o644),
	)
	names := []string{"link", "dangling", "pipe", "directory"}
	if os.Geteuid() == 0 {
		must(t, os.WriteFile(d.Join("somebody's"), nil, 0o666), os.Chown(d.Join("somebody's"), nobody, nobody))
		names = append(names, "somebody's")
	}
	for _, name := range append(names, "", ".", "..", "../elsewhere", "directory/x") {
		for what, open := range map[string]func(string) (*os.File, error){
			"create": d.Create, "open or create": d.OpenOrCreate, "write": d.OpenToWrite, "read": d.OpenToRead,
		} {
			if f, err := open(name); err == nil {
				t.Errorf("%s %q opens %s", what, name, f.Name())
			} else if slices.Contains(names[:3], name) && what != "create" && !errors.Is(err, ErrFile) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	if _, err := d.OpenToWrite("second name"); !errors.Is(err, ErrFile) {
		t.Errorf("a second name to write: %v", err)
	}
	f, err := d.OpenOrCreate("second name")
	must(t, err)
	if !HasOtherNames(f) {
		t.Error("a second name is not noticed")
	}
	must(t, f.Close())
	for _, name := range []string{"file", "another"} {
		f, err := d.OpenOrCreate(name)
		must(t, err)
		info, err := f.Stat()
		must(t, err, f.Close())
		if info.Mode().Perm() != FileMode || f.Name() != d.Join(name) {
			t.Errorf("%s has mode %o", f.Name(), info.Mode())
		}
	}
	// What replaces a name touches nothing that the name stood for.
	for _, name := range []string{"link", "dangling", "second name", "pipe"} {
		f, err := d.CreateAnew(name)
		must(t, err)
		_, err = f.WriteString("other text")
		must(t, err, f.Close())
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != "text" {
		t.Errorf("elsewhere is %q, %v", text, err)
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("elsewhere has mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(root, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link's target has been created: %v", err)
	}
}

// What is done in a directory is done there, wherever it is and whatever has its path.
func TestADirectoryThatIsMovedAwayIsStillHeld(t *testing.T) {
	root := t.TempDir()
	d := held(t, filepath.Join(root, "dump"))
	f, err := d.Create("a")
	must(t, err)
	defer f.Close()
	trap := mkdir(t, root, "trap", 0o700)
	must(t, os.Rename(d.Path(), filepath.Join(root, "moved")), os.Symlink(trap, d.Path()))

	if !d.Is(f, "a") || !d.Has("a") {
		t.Error("a is not where it was")
	}
	must(t, d.Rename("a", "b"), d.SetModified("b", time.Unix(1, 5)))
	for _, name := range []string{"c", "d"} {
		f, err := d.Create(name)
		must(t, err, f.Close())
	}
	must(t, d.Remove("d"))
	files, err := d.List(func(name string) bool { return name == "b" })
	if err != nil || len(files) != 1 || !files[0].Modified.Equal(time.Unix(1, 5)) || !files[0].Regular {
		t.Errorf("b is %+v, %v", files, err)
	}
	moved, err := os.ReadDir(filepath.Join(root, "moved"))
	must(t, err)
	trapped, err := os.ReadDir(trap)
	must(t, err)
	if len(moved) != 2 || len(trapped) != 0 {
		t.Errorf("in the directory %v, in the trap %v", moved, trapped)
	}
}

// What was opened through a link may be another directory later; what was not must not
// become a link.
func TestRefreshFindsThatALinkIsAnother(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "dump")
	must(t, os.Symlink(mkdir(t, root, "a", 0o700), path))
	d := held(t, path)
	mkdir(t, root, "b", 0o700)
	mkdir(t, root, "c", 0o777)
	for _, c := range []struct {
		target string
		want   Change
		fault  string
	}{{"a", Unchanged, ""}, {"b", Replaced, ""}, {"c", Unchanged, "mode 0777"}, {"b", Unchanged, ""}} {
		must(t, os.Remove(path), os.Symlink(c.target, path))
		change, err := d.Refresh()
		if change != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("to %s: %d, %v, want %d and %q", c.target, change, err, c.want, c.fault)
		}
	}
	must(t, os.Remove(path), os.Mkdir(path, 0o700))
	if change, err := d.Refresh(); change != Replaced || err != nil {
		t.Errorf("a directory: %d, %v", change, err)
	}
	must(t, os.Remove(path), os.Symlink("b", path))
	if change, err := d.Refresh(); change != Unchanged || err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link again: %d, %v", change, err)
	}
}

// Refresh finds out what has become of a directory.
func TestRefreshFindsWhatHasBecomeOfADirectory(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "dump")
	d := held(t, path)
	expect := func(what string, want Change, fault string) {
		t.Helper()
		change, err := d.Refresh()
		if change != want || (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %d, %v, want %d and %q", what, change, err, want, fault)
		}
	}
	expect("nothing has happened", Unchanged, "")
	must(t, os.Remove(path))
	expect("removed", Removed, "")
	must(t, os.Rename(path, path+".1"))
	expect("moved away", Replaced, "")
	must(t, os.Rename(path, path+".2"), os.Mkdir(path, 0o755))
	expect("replaced", Replaced, "")
	must(t, os.Rename(path, path+".3"), os.Symlink(path+".3", path))
	expect("a link to the same", Unchanged, "")
	must(t, os.Remove(path), os.Symlink(path+".2", path))
	expect("a link to another", Unchanged, "symbolic link")
	must(t, os.Remove(path), os.Mkdir(path, 0o700), os.Chmod(path, 0o777))
	expect("another that all may write", Unchanged, "mode 0777")
	if f, err := d.Create("a"); err != nil || f.Close() != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + ".3/a"); err != nil {
		t.Errorf("what was held is not held any more: %v", err)
	}
	must(t, os.Chmod(path, 0o700))
	expect("a good one again", Replaced, "")
	must(t, os.Chmod(path, 0o702))
	expect("the mode changes", Unchanged, "mode 0702")
	must(t, os.Chmod(path, 0o700))
	expect("and changes back", Unchanged, "")
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, nobody, nobody))
		expect("the owner changes", Unchanged, "user 65534")
	}
	d.Close()
	d.Close()
	if _, err := d.Refresh(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := d.Create("b"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
