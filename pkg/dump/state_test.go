package dump_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// stateFlow returns a connection of which a window has bytes from its middle on.
func stateFlow(network string, checkpoint []byte) *record.Flow {
	client, server := "10.1.2.3:4711", "10.9.9.9:8080"
	if network == "unix" {
		client, server = "@", "/run/my [app].sock"
	}
	f := dumptest.NewFlow(network, 7, client, server)
	f.FromStart, f.Next, f.Checkpoint = false, record.PerDirection{In: 1 << 33, Out: 70}, checkpoint
	return f
}

// encodeState encodes an opening with a state, some bytes, and the close.
func encodeState(file []byte, e record.Encoder, f *record.Flow) []byte {
	t := dumptest.Time - dumptest.Time%1000
	file = e.Open(file, t, f)
	file = e.Data(file, t, f, record.Out, 70, []byte("answer"))
	file = e.Data(file, t, f, record.In, 1<<33, []byte("request"))
	return e.Close(file, t, f, record.CloseRemote, record.PerDirection{In: 1<<33 + 7, Out: 76})
}

// The state of a connection is read back behind its opening, with the offsets, from both
// formats; and from an export of either.
func TestStates(t *testing.T) {
	for _, size := range []int{1, 5000, record.MaxCheckpoint} {
		checkpoint := bytes.Repeat([]byte("\x00state\xff="), size)[:size]
		for _, network := range []string{"tcp", "unix"} {
			lines := encodeState(nil, hexlog.NewMetaEncoder(), stateFlow(network, checkpoint))
			packets, encoder := dumptest.NewFile()
			packets = encodeState(packets, encoder, stateFlow(network, checkpoint))
			for name, file := range map[string][]byte{"hex_meta": lines, "pcapng": packets} {
				checkState(t, fmt.Sprintf("%s %s %d", name, network, size), readAll(t, file), checkpoint)
				var exported bytes.Buffer
				e := dump.NewExporter(&exported, "test")
				for _, r := range readAll(t, file) {
					if err := e.Write(&r); err != nil {
						t.Fatal(err)
					}
				}
				if err := e.Flush(); err != nil {
					t.Fatal(err)
				}
				checkState(t, fmt.Sprintf("%s %s %d exported", name, network, size), readAll(t, exported.Bytes()), checkpoint)
			}
		}
	}
}

func checkState(t *testing.T, name string, records []record.Record, checkpoint []byte) {
	t.Helper()
	var kinds []string
	for _, r := range records {
		kinds = append(kinds, r.Kind.String())
	}
	if got := strings.Join(kinds, " "); got != "open state data data close" {
		t.Errorf("%s: records %s", name, got)
		return
	}
	r := records[1]
	if !bytes.Equal(r.Data, checkpoint) || r.Length != uint64(len(checkpoint)) || !r.HasBase || r.Base != (record.PerDirection{In: 1 << 33, Out: 70}) || r.Start || r.Conn != records[0].Conn || r.Window != records[0].Window {
		t.Errorf("%s: %d bytes, %+v", name, len(r.Data), r.Base)
	}
}

// A state with any byte changed is damage, or not there; all other records are read.
func TestDamagedStates(t *testing.T) {
	checkpoint := []byte("a state with some bytes")
	lines := encodeState(nil, hexlog.NewMetaEncoder(), stateFlow("tcp", checkpoint))
	packets, encoder := dumptest.NewFile()
	packets = encodeState(packets, encoder, stateFlow("tcp", checkpoint))
	for name, file := range map[string][]byte{"hex_meta": lines, "pcapng": packets} {
		word := bytes.Index(file, []byte("YSBzdGF0ZSB3aXRo"))
		if word < 0 {
			t.Fatalf("%s: no state", name)
		}
		for at := word; at < word+36; at++ { // 27 bytes in base64
			b := bytes.Clone(file)
			if b[at] ^= 1; b[at] == ']' || b[at] == '\n' {
				continue
			}
			records, damage, err := readBytes(b)
			if err != nil || len(damage) != 1 || len(records) != 4 || records[1].Kind != record.KindData {
				t.Errorf("%s: byte %d: %d records, damage %v, %v", name, at-word, len(records), damage, err)
			}
		}
	}
}

// A stream begins where the state says, also in lines, which do not say it themselves.
func TestAStateSaysWhereStreamsBegin(t *testing.T) {
	f := stateFlow("tcp", []byte("state"))
	e := hexlog.NewMetaEncoder()
	at := time.Unix(0, dumptest.Time).UnixNano()
	file := e.Open(nil, at, f)
	file = e.Data(file, at, f, record.Out, 80, []byte("answer"))
	var gaps []string
	s := dump.NewStreams(func(_ *dump.Connection, r *record.Record) error {
		if r.Kind == record.KindGap {
			gaps = append(gaps, fmt.Sprintf("%s %d %d %s", r.Direction, r.Offset, r.Length, r.Reason))
		}
		return nil
	}, nil)
	for _, r := range readAll(t, file) {
		if err := s.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(gaps, ", "); got != "out 70 10 missing" {
		t.Errorf("gaps: %s", got)
	}
}
