package http2_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/record"
)

// bodies are what bodies are full of.
func bodies() map[string]func(*rand.Rand) []byte {
	const size = 64 << 10
	fill := func(next func(*rand.Rand, []byte) []byte) func(*rand.Rand) []byte {
		return func(r *rand.Rand) []byte {
			var b []byte
			for len(b) < size {
				b = next(r, b)
			}
			return b
		}
	}
	return map[string]func(*rand.Rand) []byte{
		"random":     fill(func(r *rand.Rand, b []byte) []byte { return append(b, byte(r.Uint32())) }),
		"zeros":      fill(func(_ *rand.Rand, b []byte) []byte { return append(b, 0) }),
		"mostly 0":   fill(func(r *rand.Rand, b []byte) []byte { return append(b, byte(r.Uint32())*byte(r.IntN(4)/3)) }),
		"small":      fill(func(r *rand.Rand, b []byte) []byte { return append(b, byte(r.IntN(10)*r.IntN(2))) }),
		"int32 le":   fill(func(r *rand.Rand, b []byte) []byte { return binary.LittleEndian.AppendUint32(b, uint32(r.IntN(300))) }),
		"int32 be":   fill(func(r *rand.Rand, b []byte) []byte { return binary.BigEndian.AppendUint32(b, uint32(r.IntN(300))) }),
		"int64 le":   fill(func(r *rand.Rand, b []byte) []byte { return binary.LittleEndian.AppendUint64(b, uint64(r.IntN(10))) }),
		"int16 be":   fill(func(r *rand.Rand, b []byte) []byte { return binary.BigEndian.AppendUint16(b, uint16(r.IntN(12))) }),
		"float64 be": fill(func(r *rand.Rand, b []byte) []byte { return binary.BigEndian.AppendUint64(b, uint64(r.IntN(100))<<52) }),
		"messages": fill(func(r *rand.Rand, b []byte) []byte {
			var m []byte
			for f := range protowire.Number(r.IntN(5)) {
				m = protowire.AppendTag(m, f+1, protowire.VarintType)
				m = protowire.AppendVarint(m, uint64(r.IntN(1000)))
			}
			return append(b, message(string(m))...)
		}),
		"text": fill(func(r *rand.Rand, b []byte) []byte {
			line, _ := json.Marshal(map[string]any{"id": r.IntN(1000), "name": strings.Repeat("é", r.IntN(5))})
			return append(b, line...)
		}),
	}
}

// Frames are not found in bodies.
func TestBodiesAreNotFrames(t *testing.T) {
	for name, body := range bodies() {
		random := rand.New(rand.NewPCG(1, 10))
		for range 4 {
			body := body(random)
			for _, dir := range record.Directions() {
				if at, needed, found := h2.Protocol.Within(dir, body); found {
					t.Errorf("%s %v: %q is found as frames", name, dir, body[at:min(needed, at+60)])
				}
			}
		}
	}
}

// Frames are found in the middle of a connection, wherever it begins.
func TestFramesAreFound(t *testing.T) {
	for name, body := range bodies() {
		random := rand.New(rand.NewPCG(2, 10))
		talk := newTalk()
		for id := uint32(1); id < 40; id += 2 {
			body := body(random)[:random.IntN(16<<10)]
			talk.rpc(id, "Get", fmt.Sprint("x-request-id: ", id))
			talk.data(in, id, true, string(body))
		}
		var stream []byte
		var borders []int
		for _, p := range framesOf(talk.session) {
			if p.Dir == in {
				borders = append(borders, len(stream))
				stream = append(stream, p.Data...)
			}
		}
		missed := 0
		for range 100 {
			from := random.IntN(len(stream) - 80<<10)
			at, _, found := h2.Protocol.Within(in, stream[from:])
			next := 0
			for borders[next] < from {
				next++
			}
			switch {
			case !found:
				missed++
			case from+at != borders[next]:
				if !contains(borders, from+at) {
					t.Errorf("%s: from %d on there are frames at %d, not at %d", name, from, borders[next], from+at)
				}
			}
		}
		if missed > 10 {
			t.Errorf("%s: no frames found in %d of 100", name, missed)
		}
	}
}

func contains(borders []int, at int) bool {
	for _, b := range borders {
		if b == at {
			return true
		}
	}
	return false
}
