package buffer

// Place is a place in the order of a shard's entries: before the entry at At of the
// batch of that number, or behind the batch's last entry. Its memory image is part of a
// spool.
type Place struct {
	Batch uint64 // number, from 1
	At    uint64 // position in the batch, bytes
}

// Before reports whether p comes before q.
func (p Place) Before(q Place) bool {
	return p.Batch < q.Batch || p.Batch == q.Batch && p.At < q.At
}
