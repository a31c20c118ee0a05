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
