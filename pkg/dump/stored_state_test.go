package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// keptBytes is a State of all bytes of its connection.
type keptBytes struct{ b []byte }

func (k *keptBytes) AppendState(dst []byte) []byte { return append(dst, k.b...) }
func (k *keptBytes) Size() int                     { return cap(k.b) }

// keepingStreams returns Streams whose States are the bytes of their connections, which
// check gets at the end.
func keepingStreams(check func(c *dump.Connection, b []byte) error) *dump.Streams {
	streams := dump.NewStreams(func(c *dump.Connection, r *record.Record) error {
		if c.State == nil {
			c.State = &keptBytes{}
		}
		state := c.State.(*keptBytes)
		state.b = append(state.b, r.Data...)
		return nil
	}, func(c *dump.Connection) error {
		state, ok := c.State.(*keptBytes)
		if !ok {
			return fmt.Errorf("connection %s has lost its State", c.Conn)
		}
		return check(c, state.b)
	})
	streams.StoreStates(func(b []byte) (dump.StoredState, error) { return &keptBytes{bytes.Clone(b)}, nil })
	return streams
}

// recordWith returns a record of the i-th connection with n bytes of value i.
func recordWith(i, at, offset, n int) *record.Record {
	r := manyRecords(i, at, record.KindData, record.In, uint64(offset), uint64(n))
	for j := range r.Data {
		r.Data[j] = byte(i)
	}
	return r
}

// States that do not fit in memory come back from the file as they were, however large.
func TestStatesGoToTheFileAndComeBack(t *testing.T) {
	for _, c := range []struct{ connections, rounds, size int }{{40_000, 2, 3}, {300, 4, 64 << 10}, {2_000, 3, 20 << 10}} {
		done := 0
		streams := keepingStreams(func(got *dump.Connection, b []byte) error {
			if want := bytes.Repeat([]byte{byte(done)}, c.rounds*c.size); !bytes.Equal(b, want) || got.Conn != fmt.Sprintf("k3v9qa-%d", done) || got.Bytes.In != uint64(len(want)) {
				return fmt.Errorf("connection %s has %d bytes, want %d of %d", got.Conn, len(b), len(want), byte(done))
			}
			done++
			return nil
		})
		for round := range c.rounds {
			for i := range c.connections {
				add(t, streams, recordWith(i, round*c.connections+i, round*c.size, c.size))
			}
		}
		before := heapInUse()
		if err := streams.Finish(); err != nil || done != c.connections {
			t.Errorf("%+v: %d connections are done, %v", c, done, err)
		}
		// 16 MiB of States, which grow by copying, and the connections in memory.
		if most := int64(48 << 20); before > most && c.size > 3 {
			t.Errorf("%+v: %d bytes are in use, want %d at most", c, before, most)
		}
	}
}

// Where no temporary file can be created, States stay in memory.
func TestStatesWithoutATemporaryFile(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/null/none")
	done := 0
	streams := keepingStreams(func(_ *dump.Connection, b []byte) error {
		if done++; len(b) != 2*32<<10 {
			return fmt.Errorf("%d bytes", len(b))
		}
		return nil
	})
	const n = 1000
	for round := range 2 {
		for i := range n {
			add(t, streams, recordWith(i, round*n+i, round*32<<10, 32<<10))
		}
	}
	if err := streams.Finish(); err != nil || done != n {
		t.Errorf("%d connections, %v", done, err)
	}
}

// An error of the function that makes a State again is Add's or Finish's.
func TestAStateThatCannotBeMadeAgainIsAnError(t *testing.T) {
	streams := keepingStreams(func(*dump.Connection, []byte) error { return nil })
	wrong := errors.New("wrong")
	streams.StoreStates(func([]byte) (dump.StoredState, error) { return nil, wrong })
	for i := range 40_000 {
		add(t, streams, recordWith(i, i, 0, 1))
	}
	if err := streams.Finish(); !errors.Is(err, wrong) {
		t.Errorf("the error is %v", err)
	}
}

// A connection whose close event has come stays until it is done, also with a State.
func TestStatesOfConnectionsThatHaveEnded(t *testing.T) {
	done := 0
	streams := keepingStreams(func(*dump.Connection, []byte) error { done++; return nil })
	const n = 3000
	for i := range n {
		add(t, streams, recordWith(i, 2*i, 0, 16<<10))
		r := manyRecords(i, 2*i+1, record.KindClose, record.In, 0, 0)
		r.Reason, r.Totals.In = "RemoteClose", 16<<10
		add(t, streams, r)
	}
	if err := streams.Finish(); err != nil || done != n {
		t.Errorf("%d connections, %v", done, err)
	}
}
