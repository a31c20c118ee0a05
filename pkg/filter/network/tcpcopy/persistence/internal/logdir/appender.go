package logdir

import (
	"slices"
)

// Appender appends to a log for one window, and knows the base names of the files that its
// chunks have gone to. It is a FileDestination. Several appenders may append at the same
// time.
type Appender struct {
	log     *AppendLog
	mem     []byte // what transactions encode into
	observe func(FileNames)
	names   fileNames // guarded by the log's lock
}

// Appender returns an appender that the caller closes. Its transactions encode into mem,
// page-aligned memory that it has until then; nil where there are none. observe, which
// may be nil, is called with the names of its files each time that they change, and before
// something goes to the file of a new name. It is called under the log's lock. Appender
// does not wait for the disk.
func (a *AppendLog) Appender(mem []byte, observe func(FileNames)) *Appender {
	p := &Appender{log: a, mem: mem, observe: observe}
	a.appending.Lock()
	defer a.appending.Unlock()
	a.appenders = append(a.appenders, p)
	return p
}

// Close ends the appender. It returns the base names of its files. One that has been
// rolled meanwhile has its archived name.
func (p *Appender) Close() FileNames {
	a := p.log
	a.mu.Lock()
	defer a.mu.Unlock()
	a.appending.Lock()
	a.appenders = slices.DeleteFunc(a.appenders, func(o *Appender) bool { return o == p })
	a.appending.Unlock()
	if p.mem != nil {
		a.closeLocked() // it may work in the memory
	}
	return p.names.list()
}

// Name returns the base name of the file that is appended to.
func (p *Appender) Name() string { return p.log.name }

// Append is AppendLog.Append.
func (p *Appender) Append(chunk []byte) error { return p.log.append(chunk, p) }

// HasNames reports whether a chunk has gone to a file.
func (p *Appender) HasNames() bool {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return len(p.names.all.Names) > 0
}

// Adopt has the appender go on with the names that a killed process's had. An archive that
// the process has not made any more is none of them.
func (p *Appender) Adopt(names FileNames) {
	a := p.log
	a.mu.Lock()
	defer a.mu.Unlock()
	// The archive was to be made of the file when both are last, see rollLocked.
	if n := len(names.Names); n >= 2 && names.Names[n-1] == a.name {
		planned := names.Names[n-2]
		switch made := len(a.folder.missing([]string{planned})) == 0; {
		case !made && a.folder.Has(a.name):
			names.Names = append(slices.Clone(names.Names[:n-2]), a.name)
		case made && !a.folder.Has(a.name):
			names.Names = names.Names[:n-1]
		}
	}
	p.names = fileNames{all: FileNames{LeftOut: names.LeftOut}}
	for _, name := range names.Names {
		p.names.add(name)
	}
}

// addNameLocked adds the name of a file that a chunk is about to go to.
func (p *Appender) addNameLocked(name string) {
	if p.names.add(name) {
		p.changedLocked()
	}
}

// dropNameLocked removes a name.
func (p *Appender) dropNameLocked(name string) {
	p.names.drop(name)
	p.changedLocked()
}

// changedLocked says that the names have changed.
func (p *Appender) changedLocked() {
	if p.observe != nil {
		p.observe(p.names.list())
	}
}

// usersLocked returns the appenders that have the file of that name.
func (a *AppendLog) usersLocked(name string) (users []*Appender) {
	a.appending.Lock()
	defer a.appending.Unlock()
	for _, p := range a.appenders {
		if p.names.has(name) {
			users = append(users, p)
		}
	}
	return users
}
