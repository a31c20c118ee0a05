package logdir

import "slices"

// FileNames are base names of files, in the order of writing.
type FileNames struct {
	Names   []string
	LeftOut int // how many more there are, before these
}

// maxFileNames bounds the names of files that are remembered of one log, and of one
// window's segments.
const maxFileNames = 256

// fileNames remembers the names of the files that a log has had, the last ones. Its
// owner's lock guards it.
type fileNames struct{ all FileNames }

// add adds a name unless it is there, and reports whether it was not.
func (f *fileNames) add(name string) bool {
	if f.has(name) {
		return false
	}
	f.all.Names = append(f.all.Names, name)
	if over := len(f.all.Names) - maxFileNames; over > 0 {
		f.all.Names = slices.Clone(f.all.Names[over:])
		f.all.LeftOut += over
	}
	return true
}

// has reports whether the name is there.
func (f *fileNames) has(name string) bool {
	// Nearly always it is the last one.
	n := len(f.all.Names)
	return n > 0 && f.all.Names[n-1] == name || slices.Contains(f.all.Names, name)
}

// replace gives a file that is there another name.
func (f *fileNames) replace(old, name string) {
	if i := slices.Index(f.all.Names, old); i >= 0 {
		f.all.Names[i] = name
	}
}

// drop removes a name.
func (f *fileNames) drop(name string) {
	f.all.Names = slices.DeleteFunc(f.all.Names, func(n string) bool { return n == name })
}

// list returns the names, which are the caller's.
func (f *fileNames) list() FileNames {
	return FileNames{Names: slices.Clone(f.all.Names), LeftOut: f.all.LeftOut}
}
