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

// packetTransaction is a transaction of pcapng: the interface of a listener has to be
// in a segment before its packets. See logdir.SegmentTransaction.
type packetTransaction interface {
	Interface(name, description string) (number uint32, known bool, err error)
	Segment() uint32
}

// encodePackets makes o encode pcapng.
func (o *output) encodePackets() {
	encoder := pcapng.NewEncoder()
	o.packets = &packets{encoder: encoder, segment: 1}
	o.encoder, o.bound, o.slice = encoder, boundPackets, slicePackets
}

// describe sees to it that the segment has the interface of f's listener. known is
// false when tx has put it.
func (p *packets) describe(tx packetTransaction, f *outputFlow) (known bool, err error) {
	current := tx.Segment()
	for ; p.segment < current; p.segment++ {
		p.encoder.NewSegment()
	}
	if f.segment == current {
		return true, nil
	}
	l := f.source.listener()
	if f.Interface, known, err = tx.Interface(l.name, l.description); err != nil {
		return false, err
	}
	f.segment = current
	return known, nil
}

// frameInPlace completes the block of e in the batch and has the segment written from
// there. It returns false when e has to be encoded.
func (w *batchWriter) frameInPlace(f *outputFlow, e *buffer.Entry) (framed bool, err error) {
	if w.packets == nil || !w.packets.inPlace || e.Kind != buffer.KindData || !f.opened {
		return false, nil
	}
	tx := w.tx.(*logdir.SegmentTransaction)
	if f.segment != tx.Segment() || tx.Full(len(e.Block)) {
		return false, nil
	}
	defer w.catchPanic(f, &err)
	if !w.packets.encoder.FrameInPlace(e.Block, e.Time, &f.Flow, e.Dir, e.Offset, len(e.Payload), e.Sum, e.Flags&buffer.FlagMore != 0) {
		return false, nil
	}
	return true, tx.AppendZeroCopy(e.Block)
}
