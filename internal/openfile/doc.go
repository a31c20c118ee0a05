// Package openfile opens and reads files that may turn out to be anything: a named pipe,
// a device, a file of gigabytes, or a file on a mount whose server does not answer. The
// recorder and the tool use it for every file that others may replace.
package openfile
