package parsetest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// states restores checkpoints that are damaged, or made to harm, and checks that the parser either refuses one or goes on with it.
func states(t *testing.T, p *parse.Protocol, seeds []Session) {
	t.Helper()
	for round := range seeds[0].rounds(20) {
		random := rand.New(rand.NewPCG(uint64(round), 15))
		resume(t, p, cut(seeds[random.IntN(len(seeds))].feeds(), random, 200), random)
	}
}

// resume goes on with a checkpoint that is damaged, if the parser does not refuse it.
func resume(t *testing.T, p *parse.Protocol, feeds []feed, random *rand.Rand) {
	t.Helper()
	harmed := *p
	harmed.New = func(env parse.Env) parse.Parser { return harmedState{p.New(env), random} }
	at, runner := random.IntN(len(feeds)), parse.NewRunner(p, env(&Recorder{}))
	for i, f := range feeds {
		if i == at {
			state, err := runner.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			next := &harmed
			if random.IntN(4) == 0 {
				state, next = damaged(state, random), p
			}
			runner = parse.NewRunner(next, env(&Recorder{}))
			if runner.Restore(state) != nil {
				return
			}
		}
		var err error
		if random.IntN(50) == 0 {
			err = runner.Gap(f.Dir, f.offset, uint64(len(f.Data)))
		} else {
			err = runner.Data(f.Dir, f.offset, f.At, f.Data)
		}
		if err != nil {
			runner.Rest()
			break
		}
		if random.IntN(20) == 0 {
			if _, err := runner.MarshalBinary(); err != nil {
				t.Fatal(err)
			}
		}
	}
	runner.End(parse.End{At: Start.Add(time.Hour), Closed: random.IntN(2) == 0})
}

// harmedState is a parser that gets another state than the one that a checkpoint has.
type harmedState struct {
	parse.Parser
	random *rand.Rand
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (h harmedState) UnmarshalBinary(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var tree any
	if d.Decode(&tree) != nil {
		return h.Parser.UnmarshalBinary(damaged(b, h.random))
	}
	for range 1 + h.random.IntN(3) {
		tree = harm(tree, h.random)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return h.Parser.UnmarshalBinary(b)
}

// damaged returns b with other bytes, or less of it.
func damaged(b []byte, random *rand.Rand) []byte {
	b = bytes.Clone(b)
	for range 1 + random.IntN(3) {
		if len(b) == 0 {
			break
		}
		switch at := random.IntN(len(b)); random.IntN(5) {
		case 0:
			b = b[:at]
		case 1:
			b = append(b[:at], b[at+1:]...)
		case 2:
			b[at] ^= 1 << random.IntN(8)
		default:
			b[at] = []byte{0, 1, 2, 0x7f, 0x80, 0xff}[random.IntN(6)]
		}
	}
	return b
}

// harm returns v with another value in it somewhere.
func harm(v any, random *rand.Rand) any {
	const deeper = 8 // of 10 times
	switch v := v.(type) {
	case map[string]any:
		if random.IntN(10) < deeper && len(v) > 0 {
			keys := make([]string, 0, len(v))
			for key := range v {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			key := keys[random.IntN(len(keys))]
			v[key] = harm(v[key], random)
			return v
		}
	case []any:
		switch n := random.IntN(10); {
		case len(v) > 0 && n < deeper-1:
			i := random.IntN(len(v))
			v[i] = harm(v[i], random)
			return v
		case len(v) > 0 && n == deeper-1:
			return append(v, v[random.IntN(len(v))])
		case len(v) > 0 && n == deeper:
			return v[:random.IntN(len(v))]
		}
	case bool:
		return !v
	case json.Number:
		return json.Number([]string{"-1", "0", "1", "2", "3", "5", "7", "255", "256", "70000", "4294967295", "1099511627776", "-9223372036854775808"}[random.IntN(13)])
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && random.IntN(4) > 0 {
			return base64.StdEncoding.EncodeToString(damaged(b, random))
		}
		return []string{"", "AAAA", "SUBSCRIBE", "none"}[random.IntN(4)]
	}
	return nil
}
