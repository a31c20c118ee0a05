package persistence

import (
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// packets is a pcapng encoder as an output uses it.
type packets struct {
	encoder *pcapng.Encoder
	segment uint32 // that the encoder is in
	inPlace bool   // blocks are framed in the batches and appended without a copy
}

// packetTransaction is a transaction of pcapng. See logdir.SegmentTransaction.
type packetTransaction interface {
	Segment() uint32
}

// encodePackets makes o encode pcapng.
func (o *output) encodePackets() {
	encoder := pcapng.NewEncoder()
	o.packets = &packets{encoder: encoder, segment: 1}
	o.encoder, o.bound, o.slice = encoder, boundPackets, slicePackets
}

// follow has the encoder begin the segment that tx writes, where that is another one.
func (p *packets) follow(tx packetTransaction) {
	for current := tx.Segment(); p.segment < current; p.segment++ {
		p.encoder.NewSegment()
	}
}

// frameInPlace completes the block of e in the batch and has the segment written from
// there. It returns false when e has to be encoded.
func (w *batchWriter) frameInPlace(f *outputFlow, e *buffer.Entry) (framed bool, err error) {
	if w.packets == nil || !w.packets.inPlace || e.Kind != buffer.KindData || !f.opened {
		return false, nil
	}
	tx := w.tx.(*logdir.SegmentTransaction)
	if w.packets.segment != tx.Segment() || tx.Full(len(e.Block)) {
		return false, nil
	}
	defer w.catchPanic(f, &err)
	if !w.packets.encoder.FrameInPlace(e.Block, e.Time, &f.Flow, e.Dir, e.Offset, len(e.Payload), e.Sum, e.Flags&buffer.FlagMore != 0) {
		return false, nil
	}
	return true, tx.AppendZeroCopy(e.Block)
}
