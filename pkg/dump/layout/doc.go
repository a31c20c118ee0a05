// Package layout knows what a dump directory looks like: the name of every file,
// made and parsed in the same place, which files belong together, which of them
// may still be written to, and the lines of the index. The recorder gets the names of
// its files here, and the readers the meaning of the names that they find. It neither
// opens nor decodes files with records. docs/format.md lists the files.
package layout
