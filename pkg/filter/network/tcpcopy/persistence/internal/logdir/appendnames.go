package logdir

import (
	"slices"
)

// addNameLocked adds a name for DrainNames.
func (a *AppendLog) addNameLocked(name string) {
	if a.names.add(name) {
		a.observeLocked()
	}
}

// Observe has f called with the names that DrainNames would return, each time that they
// change and before something goes to the file of a new name, until it is called with
// nil. f is called under the log's lock.
func (a *AppendLog) Observe(f func(FileNames)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.observe = f
}

// HasNames reports whether DrainNames would return some.
func (a *AppendLog) HasNames() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.names.all.Names) > 0
}

// Adopt has the log go on with the names that a killed process's had: DrainNames returns
// them too. An archive that the process has not made any more is none of them.
func (a *AppendLog) Adopt(names FileNames) {
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
	a.names = fileNames{all: FileNames{LeftOut: names.LeftOut}}
	for _, name := range names.Names {
		a.names.add(name)
	}
}

func (a *AppendLog) observeLocked() {
	if a.observe != nil {
		a.observe(a.names.list())
	}
}

// DrainNames returns the base names of the files that chunks have gone to since the
// last call. One that has been rolled meanwhile has its archived name.
func (a *AppendLog) DrainNames() FileNames {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := a.names.list()
	a.names = fileNames{}
	return names
}
