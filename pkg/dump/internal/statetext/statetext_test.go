package statetext_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/statetext"
	"mosn.io/tcpcopy/pkg/record"
)

// A checkpoint is read back as it was, up to the longest.
func TestRoundTrip(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 1000, record.MaxCheckpoint} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		word := statetext.Append([]byte("before "), b)[len("before "):]
		got, ok := statetext.Parse(word)
		if !ok || !bytes.Equal(got, b) || len(word) > statetext.MaxLength {
			t.Errorf("%d bytes: %d bytes, %t", n, len(got), ok)
		}
	}
	if _, ok := statetext.Parse(statetext.Append(nil, make([]byte, record.MaxCheckpoint+1))); ok {
		t.Error("too long a checkpoint is read")
	}
}

// A word with any character changed, missing or added is refused.
func TestDamage(t *testing.T) {
	word := statetext.Append(nil, []byte("state of a decoder"))
	for at := range word {
		for _, c := range []byte{'A', 'b', '0', '+', '/', '=', ' ', '\n', 0, 0xff, word[at] ^ 1, word[at] ^ 0x20} {
			if b := bytes.Clone(word); c != word[at] {
				b[at] = c
				if _, ok := statetext.Parse(b); ok {
					t.Errorf("%q is read", b)
				}
			}
		}
		if _, ok := statetext.Parse(word[:at]); ok {
			t.Errorf("%q is read", word[:at])
		}
		if _, ok := statetext.Parse(append(append(bytes.Clone(word[:at]), '\n'), word[at:]...)); ok {
			t.Errorf("a line feed at %d is passed over", at)
		}
	}
}
