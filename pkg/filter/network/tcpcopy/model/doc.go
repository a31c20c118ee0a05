// Package model holds the types that the recorder's parts share: the dump
// configuration and its validation, the parts of a record's identity, and the
// business types of portraits. It has no behaviour beyond that and imports
// nothing of the project.
package model
