// Package reading reads the records of a dump for the commands of the tool: it knows
// what to read, which records are wanted and what to do about damage. It knows no
// command line and prints nothing. Package cli turns flags into a Query.
package reading
