package record

// CloseReason is the reason in a connection's close event: the name of MOSN's
// connection event, or CloseMoved. A file may hold other words; they are kept as
// they are.
type CloseReason string

// The reasons that the recorder knows; those of MOSN are in mosn.io/api
// network.go.
const (
	CloseRemote       CloseReason = "RemoteClose"     // the client closed in order
	CloseLocal        CloseReason = "LocalClose"      // the proxy closed in order
	CloseShutdown     CloseReason = "OnShutdown"      // the proxy is shutting down
	CloseReadError    CloseReason = "OnReadErrClose"  // reading from the client failed
	CloseWriteError   CloseReason = "OnWriteErrClose" // writing to the client failed
	CloseWriteTimeout CloseReason = "OnWriteTimeout"  // the client did not read in time
	CloseMoved        CloseReason = "moved"           // the connection goes on in another process (hot upgrade)
)

// Side returns the direction whose sender ended the connection, and whether it
// did so in order. A reason that is not known counts as a fault of the proxy's
// side.
func (r CloseReason) Side() (side Direction, clean bool) {
	switch r {
	case CloseRemote:
		return In, true
	case CloseLocal, CloseShutdown:
		return Out, true
	case CloseReadError:
		return In, false
	default:
		return Out, false
	}
}
