package call

import "mosn.io/tcpcopy/pkg/record"

// Sink receives what a decoder finds. Its methods are called before the decoder's Data,
// Gap, Close or End returns.
type Sink interface {
	// Call receives a call that has ended, or of which nothing more will be known. It is the
	// decoder's and valid until Call returns; its strings are the receiver's to keep.
	Call(*Call)
	// Span receives a value with its position. Those of a call come before the call.
	Span(Span)
}

// SkipSink is a Sink that also wants to know which bytes no call accounts for.
type SkipSink interface {
	Sink
	// Skipped receives a stretch of recorded bytes that were passed over, because their
	// meaning depends on bytes that were not recorded.
	Skipped(dir record.Direction, r Range)
}

// SpanChooser is a Sink that says whether it wants spans at all. Without them decoders
// are faster.
type SpanChooser interface {
	// WantsSpans is called once, when the decoder is made.
	WantsSpans() bool
}
