package record

// Gap is a part of a stream that passed in a window and is not in the files.
type Gap struct {
	Direction Direction
	Offset    uint64 // bytes of the direction that came before
	Length    uint64 // bytes
	Reason    string // a Reason's word, or ReasonMissing
}
