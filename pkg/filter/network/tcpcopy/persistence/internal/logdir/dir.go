package logdir

import (
	"fmt"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Modes of what the recorder creates: payload is its owner's only.
const (
	DirMode  = safedir.DirMode
	FileMode = safedir.FileMode
)

// Options say where a Dir is and whom it reports to.
type Options struct {
	// Path is the directory, an absolute path that safedir.Dir accepts.
	Path string
	// Run is this process's part of the segments' names.
	Run string
	// MaxTotal is how many bytes all files may have together; 0 means no limit.
	MaxTotal int64
	// LimitName is what errors call MaxTotal; "" means that name.
	LimitName string
	// Clock gives the time of file names, rolling and retries; nil means the system's. The
	// ages of files are those of the system's clock.
	Clock clock.Clock
	// Alert reports a fault that an operator should know, Info its end. Both may be
	// called by several goroutines at once, and may be nil.
	Alert func(what string, err error)
	Info  func(format string, args ...any)
	// Panicked reports a panic in the background that was caught; nil means Alert.
	Panicked func(where string, value any, stack []byte)
}

// Dir is the dump directory, as one process writes it.
type Dir struct {
	options Options
	folder  *folder
	quota   *quota
	archive *archive
	index   *Index
	logs    []*AppendLog // not changed once the directory is in use
}

// Open returns the directory. It touches no file: files appear when there is
// something to write. The caller calls Close.
func Open(o Options) *Dir {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Alert == nil {
		o.Alert = func(string, error) {}
	}
	if o.LimitName == "" {
		o.LimitName = "MaxTotal"
	}
	if o.Info == nil {
		o.Info = func(string, ...any) {}
	}
	f := &folder{Dir: safedir.New(o.Path), alert: o.Alert, info: o.Info}
	d := &Dir{options: o, folder: f, quota: newQuota(o, f)}
	d.archive = newArchive(d.quota, o.Alert)
	if o.Panicked != nil {
		d.archive.panicked = o.Panicked
	}
	d.quota.panicked = d.archive.panicked
	d.index = newIndex(d.newLog(layout.Index, Roll{}), d.quota)
	d.quota.index = d.index
	return d
}

// Log returns the log of that base name. All logs are made before the first one is
// written. Close closes it.
func (d *Dir) Log(name string, roll Roll) *AppendLog {
	log := d.newLog(name, roll)
	d.logs = append(d.logs, log)
	return log
}

func (d *Dir) newLog(name string, roll Roll) *AppendLog {
	return &AppendLog{
		quota:   d.quota,
		folder:  d.folder,
		name:    name,
		roll:    roll,
		clock:   d.options.Clock,
		alert:   d.options.Alert,
		info:    d.options.Info,
		archive: d.archive,
	}
}

// Segments returns the pcapng file of a window, which works in mem until Finish.
// mem is page-aligned. Roll.Size is the size of a segment, by default 1 GiB;
// Roll.Age and Roll.Compress are what happens to finished ones.
func (d *Dir) Segments(w record.Window, roll Roll, mem []byte) *Segments {
	return newSegments(d, w, roll, mem)
}

// Index returns the index of windows.
func (d *Dir) Index() *Index { return d.index }

// Missing returns those of the files with these base names that are gone.
func (d *Dir) Missing(names []string) []string { return d.folder.missing(names) }

func (f *folder) missing(names []string) (gone []string) {
	for _, name := range names {
		if !f.Has(name) && !f.Has(name+layout.GzipExtension) {
			gone = append(gone, name)
		}
	}
	return gone
}

// Refresh sees to it that what is created from now on is in the directory that the path
// stands for. It returns an error where that is no safe one. Each chunk and each
// transaction does so too.
func (d *Dir) Refresh() error {
	d.quota.lookAhead()
	return d.folder.refresh()
}

// Folder returns the directory as it is held, for files beside those of this package. It
// is the Dir's.
func (d *Dir) Folder() *safedir.Dir { return d.folder.Dir }

// folder is the directory that all of a Dir's files are in.
type folder struct {
	*safedir.Dir
	alert func(what string, err error)
	info  func(format string, args ...any)
}

// refresh sees to it that what is created from now on is in the directory that the
// path stands for, if that is a safe one. Otherwise it returns why not.
func (f *folder) refresh() error {
	change, err := f.Refresh()
	switch change {
	case safedir.Removed:
		f.info("%s was removed and is there again", f.Path())
	case safedir.Replaced:
		f.alert("directory", fmt.Errorf("%s is another directory than before: recording goes on in the one that is there now, and what was recorded stays in the former one", f.Path()))
	}
	return err
}

// Wait returns when all housekeeping that is due has been done.
func (d *Dir) Wait() {
	d.archive.work.Wait()
	d.quota.keeper.Wait()
}

// Pause keeps files from being removed and renamed until resume is called.
// Whoever has to wait for room waits meanwhile. Tests look at the directory so.
func (d *Dir) Pause() (resume func()) {
	d.quota.making.Lock()
	d.quota.mu.Lock()
	return func() {
		d.quota.mu.Unlock()
		d.quota.making.Unlock()
	}
}

// Close stops the housekeeping, waits for it and closes the logs and the index. It
// is idempotent.
func (d *Dir) Close() {
	d.archive.close()
	d.quota.close()
	for _, log := range d.logs {
		log.close()
	}
	d.index.log.close()
	d.folder.Close()
}
