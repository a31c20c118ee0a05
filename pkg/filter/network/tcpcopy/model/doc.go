// Package model holds the dump configuration with its validation, the business
// types of portraits, and the types that code written for the first
// implementation names. It has no behaviour beyond that and imports nothing of
// the project.
package model
