package dump_test

import (
	"bytes"
	"fmt"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

func TestExportKeepsEverything(t *testing.T) {
	for seed := range uint64(3) {
		events := dumptest.RandomEvents(seed, 20)
		file, encoder := dumptest.NewFile()
		file = dumptest.Encode(file, encoder, events)
		first := readAll(t, file)
		var copied bytes.Buffer
		e := dump.NewExporter(&copied, "test")
		for i := range first {
			if err := e.Write(&first[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		dumptest.Packets(t, copied.Bytes())
		second := readAll(t, copied.Bytes())
		if len(first) != len(second) {
			t.Fatalf("%d records of %d", len(second), len(first))
		}
		count := map[string]int{}
		for i := range first {
			count[keyOf(first[i])]++
			count[keyOf(second[i])]--
		}
		for r, n := range count {
			if n != 0 {
				t.Fatalf("%d times more before than after: %.300s", n, r)
			}
		}
	}
}

// keyOf returns all of a record as text.
func keyOf(r record.Record) string {
	data := string(r.Data)
	r.Data = nil
	return fmt.Sprintf("%+v ", r) + data
}

func TestTsharkReadsWhatIsExportedFromLines(t *testing.T) {
	const conns = 64
	encoder := hexlog.NewMetaEncoder()
	var lines []byte
	var flows [conns]*record.Flow
	var sent [conns][2][]byte
	for i := range flows {
		flows[i] = dumptest.NewFlow("tcp", i+1, fmt.Sprintf("10.0.0.%d:50000", i+1), "10.9.9.9:8080")
	}
	for round := range 5 {
		for i, f := range flows {
			now := dumptest.Time + int64(round*1000+i)*1000
			if round == 0 {
				lines = encoder.Open(lines, now, f)
			}
			for dir := range record.Direction(2) {
				data := bytes.Repeat([]byte{byte(i), byte(round), byte(dir)}, 1+i*90)
				lines = encoder.Data(lines, now, f, dir, uint64(len(sent[i][dir])), data)
				sent[i][dir] = append(sent[i][dir], data...)
			}
		}
	}
	for i, f := range flows {
		lines = encoder.Close(lines, dumptest.Time+1e9, f, "RemoteClose", record.PerDirection{In: uint64(len(sent[i][0])), Out: uint64(len(sent[i][1]))})
	}
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(lines)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	var file bytes.Buffer
	exporter := dump.NewExporter(&file, "test")
	for r, err := d.Next(); err == nil; r, err = d.Next() {
		if err := exporter.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := exporter.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := dumptest.Tshark(t, file.Bytes(), "-Y", dumptest.Complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	for _, i := range []int{0, 31, 63} {
		if in, out := dumptest.Follow(t, file.Bytes(), i); !bytes.Equal(in, sent[i][0]) || !bytes.Equal(out, sent[i][1]) {
			t.Errorf("stream %d: %d and %d bytes, want %d and %d", i, len(in), len(out), len(sent[i][0]), len(sent[i][1]))
		}
	}
}
