package record

// Direction names one of the two streams of a connection.
type Direction uint8

// The directions, named as the proxy sees them.
const (
	In  Direction = iota // client to proxy: what OnData shows
	Out                  // proxy to client: what OnWrite shows
)

// Directions returns both directions, In first, to range over.
func Directions() [2]Direction { return [2]Direction{In, Out} }

// String returns "in" or "out", the names that the index and the commands use.
func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// Arrow returns the mark of d in the files and in the commands' output: '>' for In and
// '<' for Out.
func (d Direction) Arrow() byte {
	if d == Out {
		return '<'
	}
	return '>'
}

// ParseArrow returns the direction with that mark; ok is false for any other byte.
func ParseArrow(mark byte) (d Direction, ok bool) {
	switch mark {
	case In.Arrow():
		return In, true
	case Out.Arrow():
		return Out, true
	default:
		return In, false
	}
}
