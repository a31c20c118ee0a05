// Package layout knows what a dump directory looks like: the name of every file,
// made and parsed in the same place, which files belong together, which of them
// may still be written to, and the lines of the index. The recorder asks it what to
// call a file, the readers ask it what they have found. It neither opens nor
// decodes files with records. docs/format.md lists the files.
package layout
