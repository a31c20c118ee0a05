package persistence

import (
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// interfaceWriter is a destination of pcapng, in a transaction: the interfaces of
// listeners have to be in a segment before their packets.
type interfaceWriter interface {
	// describe returns the number of the listener's interface. It puts the block of the
	// interface where the segment does not have it, and complete is false then: the
	// memory that room has returned is used.
	describe(l listener) (number uint32, complete bool, err error)
	// segmentNumber returns which segment is being written, from 1.
	segmentNumber() uint32
}

// packets is what an output needs beside a pcapng encoder.
type packets struct {
	encoder     *dump.Pcapng
	destination interfaceWriter
	segment     uint32 // the encoder's
}

// usePackets makes the output encode pcapng for d, which is its destination too.
func (o *output) usePackets(d interfaceWriter) {
	encoder := dump.NewPcapng(func(f *record.Flow) uint32 { return f.Interface })
	o.packets = &packets{encoder: encoder, destination: d, segment: 1}
	o.encoder, o.bound, o.slice = encoder, boundPackets, slicePackets
}

// describe sees to it that the segment has the interface of f's listener. complete is
// false when it had to be put.
func (p *packets) describe(f *outputFlow) (complete bool, err error) {
	current := p.destination.segmentNumber()
	for ; p.segment < current; p.segment++ {
		p.encoder.NewSegment()
	}
	if f.segment == current {
		return true, nil
	}
	if f.Interface, complete, err = p.destination.describe(f.source.listener()); err != nil {
		return false, err
	}
	f.segment = current
	return complete, nil
}

// inPlace frames blocks where the payload lies in the batch, and appends them to the
// segments without a copy.
type inPlace struct {
	encoder  *dump.Pcapng
	segments *segments
}

// frameInPlace completes the block of e in the batch and has the segment written from
// there. It reports false when e has to be encoded.
func (w *batchWriter) frameInPlace(f *outputFlow, e *buffer.Entry) (framed bool, err error) {
	p := w.inPlace
	if p == nil || e.Kind != buffer.KindData || !f.opened || !p.segments.takes(f.segment, len(e.Block)) {
		return false, nil
	}
	defer w.guard(f, &err)
	if !p.encoder.Place(e.Block, e.Time, &f.Flow, e.Dir, e.Offset, len(e.Payload), e.Sum, e.Flags&buffer.FlagMore != 0) {
		return false, nil
	}
	return true, p.segments.lend(e.Block)
}
