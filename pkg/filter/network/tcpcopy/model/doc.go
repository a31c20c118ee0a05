// Package model has the types that the recorder and its callers share: the dump
// configuration and its faults, the business types of portraits, and the types of the
// first implementation. The types validate themselves and do nothing else. The package
// imports nothing of the project.
package model
