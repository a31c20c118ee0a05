package dump_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// lines returns records as text, one a line. shift is added to their times.
func lines(records []record.Record, shift time.Duration) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %v %s %+v %v %d %d %q %s %v\n", r.Kind, r.Time.Add(shift).UTC(), r.Conn, r.Identity, r.Direction, r.Offset, r.Length, r.Data, r.Reason, r.Totals)
	}
	return b.String()
}

// readFile reads a file as the tool does.
func readFile(t *testing.T, path string) (records []record.Record, damage []*record.DamageError, remarks []string) {
	t.Helper()
	d, err := dump.Open([]string{path}, dump.Options{Remark: func(s string) { remarks = append(remarks, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	records, damage, err = dumptest.Collect(d)
	if err != nil {
		t.Fatal(err)
	}
	return records, damage, remarks
}

// writeTemp writes a file for a test and returns its path.
func writeTemp(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	command := exec.Command(program.Require(t, name), args...)
	command.Env = append(os.Environ(), "TZ=UTC")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// withComment adds a comment to a packet of a capture, before its other options. The first
// packet is 1.
func withComment(file []byte, packet int, text string) []byte {
	const enhanced, fixed = 6, 28
	little := binary.LittleEndian
	for at := 0; at < len(file); {
		length := int(little.Uint32(file[at+4:]))
		if little.Uint32(file[at:]) == enhanced {
			packet--
		}
		if packet > 0 {
			at += length
			continue
		}
		options := at + fixed + (int(little.Uint32(file[at+20:]))+3)&^3
		added := little.AppendUint16(little.AppendUint16(nil, 1), uint16(len(text)))
		added = append(added, text...)
		added = append(added, make([]byte, -len(text)&3)...)
		if options == at+length-4 {
			added = append(added, 0, 0, 0, 0) // there are no others, so that their end is missing too
		}
		little.PutUint32(file[at+4:], uint32(length+len(added)))
		little.PutUint32(file[at+length-4:], uint32(length+len(added)))
		return slices.Insert(file, options, added...)
	}
	return file
}

// Comments that people add never cost a record, wherever they are.
func TestCommentsOfPeopleAreNotOurs(t *testing.T) {
	path := writeTemp(t, "a.pcapng", smallDump("pcapng"))
	records, _, _ := readFile(t, path)
	want := lines(records, 0)
	identity := `conn=k3v9qa-2 window=` + dumptest.Window + ` port=8080 network=tcp client=[2001:db8::1]:50000 server=[2001:db8::2]:8080 listener=ingress in=0 out=0 start`
	for _, text := range []string{
		"close to the incident", "gap in the answer here", "slow: see conn=k3v9qa-1", "gap ", "close ", "conn=", "conn=k3v9qa-1",
		"conn=k3v9qa-1 is the slow one", "conn=k3v9qa-1 window=x port=1", "gap conn=k3v9qa-1 > 0 90 limit", "gap conn=k3v9qa-1 > 0 x limit",
		"gap conn=k3v9qa-2 < 0 70 guard", "close conn=k3v9qa-1 RemoteClose > 5 < 5", "close conn=k3v9qa-2 RemoteClose > 5 < 74",
		identity, identity + " <- this one", "see: " + identity, strings.Replace(identity, "k3v9qa-2", "k3v9qa-7", 1),
		"ünï\ncode", strings.Repeat("conn= ", 10_000), "\x1b[2J",
	} {
		for _, packet := range []int{1, 2, 4, 6, 7, 10, 12, 13} {
			with := filepath.Join(t.TempDir(), "b.pcapng")
			if packet == 4 { // as a program of people does it
				run(t, "editcap", "-a", fmt.Sprintf("%d:%s", packet, text), path, with)
			} else if err := os.WriteFile(with, withComment(smallDump("pcapng"), packet, text), 0o600); err != nil {
				t.Fatal(err)
			}
			records, damage, remarks := readFile(t, with)
			got := lines(records, 0)
			// A close can be copied to the packet of another one.
			if strings.HasPrefix(text, "close conn=") && len(records) == 9 && len(damage) == 0 {
				continue
			}
			if got != want || len(damage) > 0 || len(remarks) > 0 {
				t.Errorf("%.80q at packet %d: damage %v, remarks %q, records\n%swant\n%s", text, packet, damage, remarks, got, want)
			}
		}
	}
}

// What other programs write keeps the records, as far as it can.
func TestCapturesOfOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pcapng"), filepath.Join(dir, "b.pcapng")
	if err := os.WriteFile(a, smallDump("pcapng"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, _, _ := readFile(t, a)
	for _, c := range []struct {
		name    string
		program string
		args    []string
		shift   time.Duration
	}{
		{"rewritten", "tshark", []string{"-r", a, "-w", b}, 0},
		{"in order of time", "reordercap", []string{a, b}, 0},
		{"shifted", "editcap", []string{"-t", "3600", a, b}, -time.Hour},
		{"of Ethernet by name", "editcap", []string{"-T", "ether", a, b}, 0},
		{"of an unknown link type", "editcap", []string{"-T", "user0", a, b}, 0},
		{"merged", "mergecap", []string{"-w", b, a}, 0},
		{"merged with itself", "mergecap", []string{"-w", b, a, a}, 0},
	} {
		run(t, c.program, c.args...)
		records, damage, remarks := readFile(t, b)
		if c.name == "merged with itself" {
			records = withoutRepeated(records)
		}
		if got, want := lines(records, c.shift), lines(whole, 0); got != want || len(damage) > 0 || len(remarks) > 0 {
			t.Errorf("%s: damage %v, remarks %q, records\n%swant\n%s", c.name, damage, remarks, got, want)
		}
	}
}

// withoutRepeated leaves out records that are equal to the one before of their connection.
func withoutRepeated(records []record.Record) (once []record.Record) {
	seen := map[string]bool{}
	for _, r := range records {
		if text := lines([]record.Record{r}, 0); !seen[text] {
			seen[text] = true
			once = append(once, r)
		}
	}
	return once
}

func TestAPacketThatIsCutHasAGap(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pcapng"), filepath.Join(dir, "b.pcapng")
	if err := os.WriteFile(a, smallDump("pcapng"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, snap := range []int{41, 45, 52, 60, 64, 1000} {
		run(t, "editcap", "-s", fmt.Sprint(snap), a, b)
		records, damage, _ := readFile(t, b)
		var bytesIn, missing uint64
		for _, r := range records {
			switch {
			case r.Kind == record.KindData:
				bytesIn += r.Length
			case r.Kind == record.KindGap && r.Reason == record.ReasonMissing:
				missing += r.Length
			}
		}
		if want := uint64(len("first request" + "other" + "first answer" + "rest")); snap >= 60 && bytesIn+missing != want || snap < 60 && len(damage) == 0 {
			t.Errorf("%d: %d bytes and %d missing, want %d; damage %v", snap, bytesIn, missing, want, damage)
		}
	}
}

// A capture that went through a classic pcap file has lost its comments, not its times.
func TestACaptureWithoutCommentsKeepsItsTimes(t *testing.T) {
	dir := t.TempDir()
	a, p, b := filepath.Join(dir, "a.pcapng"), filepath.Join(dir, "p.pcap"), filepath.Join(dir, "b.pcapng")
	if err := os.WriteFile(a, smallDump("pcapng"), 0o600); err != nil {
		t.Fatal(err)
	}
	for format, unit := range map[string]time.Duration{"pcap": time.Microsecond, "nsecpcap": time.Nanosecond} {
		run(t, "editcap", "-F", format, a, p)
		_, damage, _ := readFile(t, p)
		if len(damage) != 1 || !errors.Is(damage[0], record.ErrUnsupported) || !strings.Contains(damage[0].Error(), "classic pcap") {
			t.Errorf("%s: %v", format, damage)
		}
		run(t, "editcap", "-F", "pcapng", p, b)
		records, damage, remarks := readFile(t, b)
		if len(records) != 4 || len(damage) > 0 || len(remarks) != 1 || !strings.Contains(remarks[0], "2 connections") {
			t.Fatalf("%s: %d records, damage %v, remarks %q", format, len(records), damage, remarks)
		}
		if want := time.Unix(0, dumptest.Time).Truncate(unit); !records[0].Time.Equal(want) || records[0].Conn != "unknown-10.0.0.1:50000" {
			t.Errorf("%s: %v of %s, want %v", format, records[0].Time, records[0].Conn, want)
		}
	}
}

// rawBlock returns a block.
func rawBlock(order binary.AppendByteOrder, kind uint32, body []byte) []byte {
	body = append(body[:len(body):len(body)], make([]byte, -len(body)&3)...)
	b := order.AppendUint32(nil, kind)
	b = order.AppendUint32(b, uint32(len(body)+12))
	return order.AppendUint32(append(b, body...), uint32(len(body)+12))
}

// blocksOf cuts a little-endian file into its blocks.
func blocksOf(file []byte) (blocks [][]byte) {
	for len(file) > 0 {
		n := binary.LittleEndian.Uint32(file[4:])
		blocks, file = append(blocks, file[:n]), file[n:]
	}
	return blocks
}

// bigEndian returns the section of a little-endian file in the other byte order.
func bigEndian(file []byte) (out []byte) {
	le, be := binary.LittleEndian, binary.BigEndian
	for _, b := range blocksOf(file) {
		kind, body := le.Uint32(b), bytes.Clone(b[8:len(b)-4])
		words := func(at ...int) {
			for _, i := range at {
				be.PutUint32(body[i:], le.Uint32(body[i:]))
			}
		}
		half := func(i int) { be.PutUint16(body[i:], le.Uint16(body[i:])) }
		options := len(body)
		switch kind {
		case 0x0a0d0d0a:
			words(0)
			half(4)
			half(6)
			options = 16
		case 1:
			half(0)
			words(4)
			options = 8
		case 6:
			options = 20 + int(le.Uint32(body[12:])+3)&^3
			words(0, 4, 8, 12, 16)
		}
		for options+4 <= len(body) {
			code, n := le.Uint16(body[options:]), int(le.Uint16(body[options+2:]))
			half(options)
			half(options + 2)
			if kind == 6 && code == 2 {
				words(options + 4)
			}
			options += 4 + (n+3)&^3
		}
		out = append(out, rawBlock(be, kind, body)...)
	}
	return out
}

func TestSectionsOfEitherByteOrder(t *testing.T) {
	little := smallDump("pcapng")
	big := bigEndian(little)
	want := lines(readAll(t, little), 0)
	for name, file := range map[string][]byte{"big": big, "both": append(bytes.Clone(big), little...), "both, the other way": append(bytes.Clone(little), big...)} {
		records, damage, err := readBytes(file)
		n := 9
		if err != nil || len(damage) > 0 || len(records) != n*len(file)/len(little) {
			t.Fatalf("%s: %d records, damage %v, %v", name, len(records), damage, err)
		}
		for len(records) > 0 {
			if got := lines(records[:n], 0); got != want {
				t.Errorf("%s:\n%swant\n%s", name, got, want)
			}
			records = records[n:]
		}
	}
}

// Blocks and options that say nothing of records are passed over, whatever they hold.
func TestBlocksOfOthersAreSkipped(t *testing.T) {
	file := smallDump("pcapng")
	want := lines(readAll(t, file), 0)
	le := binary.LittleEndian
	for name, extra := range map[string][]byte{
		"name resolution":      rawBlock(le, 4, []byte("\x01\x00\x0a\x00\x0a\x00\x00\x01host\x00\x00\x00\x00\x00\x00\x00\x00")),
		"secrets":              rawBlock(le, 10, append([]byte("KLST\x00\x00\x40\x00"), bytes.Repeat([]byte("CLIENT_RANDOM 00 11\n"), 200_000)...)),
		"secrets of 20 MiB":    rawBlock(le, 10, make([]byte, 20<<20)),
		"journal":              rawBlock(le, 9, []byte("__CURSOR=x\n")),
		"custom":               rawBlock(le, 0xbad, []byte("\x01\x02\x03\x04data")),
		"custom, not copied":   rawBlock(le, 0x40000bad, []byte("\x01\x02\x03\x04data")),
		"a type of the future": rawBlock(le, 0x1234, bytes.Repeat([]byte{6, 0, 0, 0}, 1000)),
		"statistics":           rawBlock(le, 5, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x04\x00gap \x00\x00\x00\x00")),
		"an empty block":       rawBlock(le, 0x7777, nil),
	} {
		var with []byte
		for i, b := range blocksOf(file) {
			if with = append(with, b...); i == 1 || i == 4 {
				with = append(with, extra...)
			}
		}
		records, damage, err := readBytes(with)
		if got := lines(records, 0); got != want || len(damage) > 0 || err != nil {
			t.Errorf("%s: damage %v, %v, records\n%s", name, damage, err, got)
		}
	}
}

// withOptions replaces the end of the options of each packet by more.
func withOptions(file []byte, options string) (out []byte) {
	le := binary.LittleEndian
	for _, b := range blocksOf(file) {
		if le.Uint32(b) == 6 {
			body := b[8 : len(b)-8]
			b = rawBlock(le, 6, append(body[:len(body):len(body)], options...))
		}
		out = append(out, b...)
	}
	return out
}

func TestOptionsOfOthersAreSkipped(t *testing.T) {
	file := smallDump("pcapng")
	want := lines(readAll(t, file), 0)
	comment := func(text string) string {
		return "\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(text)))) + text + "\x00\x00\x00"[:-len(text)&3]
	}
	for name, options := range map[string]string{
		"none, and no end":      "",
		"hash, verdict, custom": "\x03\x00\x05\x00\x02abcd\x00\x00\x00\x07\x00\x09\x00\x01abcdefgh\x00\x00\x00\xac\x0b\x08\x00\x01\x02\x03\x04text\x00\x00\x00\x00",
		"of the future":         "\x99\x00\x03\x00abc\x00\x00\x00\x00\x00",
		"after the end":         "\x00\x00\x00\x00\x01\x00\xff\xffrubbish!",
		"many comments":         strings.Repeat(comment("close to it"), 1000),
		"megabytes of them":     strings.Repeat(comment(strings.Repeat("gap conn=", 7000)), 30),
	} {
		records, damage, err := readBytes(withOptions(file, options))
		if got := lines(records, 0); got != want || len(damage) > 0 || err != nil {
			t.Errorf("%s: damage %v, %v, records\n%s", name, damage, err, got)
		}
	}
}

// replacePackets replaces the packet blocks of a file by what replace returns.
func replacePackets(file []byte, replace func(body []byte, packet []byte) []byte) (out []byte) {
	le := binary.LittleEndian
	for _, b := range blocksOf(file) {
		if le.Uint32(b) == 6 {
			body := b[8 : len(b)-4]
			b = replace(body, body[20:20+le.Uint32(body[12:])])
		}
		out = append(out, b...)
	}
	return out
}

func TestObsoleteAndSimplePacketsAreRead(t *testing.T) {
	le := binary.LittleEndian
	file := smallDump("pcapng")
	want := lines(readAll(t, file), 0)
	obsolete := replacePackets(file, func(body, _ []byte) []byte {
		body = bytes.Clone(body)
		le.PutUint16(body[2:], 0xffff) // drops
		return rawBlock(le, 2, body)
	})
	if records, damage, err := readBytes(obsolete); lines(records, 0) != want || len(damage) > 0 || err != nil {
		t.Errorf("obsolete: damage %v, %v, records\n%s", damage, err, lines(records, 0))
	}
	simple := replacePackets(file, func(_, packet []byte) []byte {
		return rawBlock(le, 3, append(le.AppendUint32(nil, uint32(len(packet))), packet...))
	})
	records, damage, err := readBytes(simple)
	if len(records) != 4 || len(damage) > 0 || err != nil || string(records[0].Data) != "first request" || records[0].Time.Unix() != 0 {
		t.Errorf("simple: damage %v, %v, records\n%s", damage, err, lines(records, 0))
	}
}

// Frames of a host's interface are ours where they identify themselves, and otherwise
// not, even of the same addresses.
func TestFramesOfOtherLinkTypes(t *testing.T) {
	le := binary.LittleEndian
	file := smallDump("pcapng")
	whole := readAll(t, file)
	for _, c := range []struct {
		link   uint16
		header string
	}{
		{1, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"},
		{1, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x81\x00\x00\x05"},
		{113, "\x00\x00\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00"},
		{276, ""}, {0, "\x02\x00\x00\x00"}, {108, "\x00\x00\x00\x02"}, {12, ""}, {14, ""}, {228, ""}, {229, ""},
	} {
		wrap := func(packet []byte) []byte {
			frame := []byte(c.header)
			ethertype := binary.BigEndian.AppendUint16(nil, map[byte]uint16{4: 0x0800, 6: 0x86dd}[packet[0]>>4])
			switch c.link {
			case 1:
				frame = append(frame, ethertype...)
				return append(append(frame, packet...), "\x00\x00\x00\x00\x00\x00"...) // padding
			case 113:
				frame = append(frame, ethertype...)
			case 276:
				frame = append(append(frame, ethertype...), make([]byte, 18)...)
			}
			return append(frame, packet...)
		}
		framed := replacePackets(file, func(body, packet []byte) []byte {
			frame := wrap(packet)
			options := body[20+(len(packet)+3)&^3:]
			b := le.AppendUint32(bytes.Clone(body[:12]), uint32(len(frame)))
			b = append(le.AppendUint32(b, uint32(len(frame))), frame...)
			b = append(b, make([]byte, -len(frame)&3)...)
			return rawBlock(le, 6, append(b, options...))
		})
		le.PutUint16(blocksOf(framed)[1][8:], c.link)
		records, damage, err := readBytes(framed)
		if got, want := lines(records, 0), lines(whole, 0); got != want || len(damage) > 0 || err != nil {
			t.Errorf("link type %d: damage %v, %v, records\n%s", c.link, damage, err, got)
		}
		// The same packets without comments, of another interface, before ours.
		bare := replacePackets(framed, func(body, packet []byte) []byte {
			return rawBlock(le, 6, body[:20+(len(packet)+3)&^3])
		})
		path := writeTemp(t, "a.pcapng", append(bytes.Clone(bare), file...))
		records, damage, remarks := readFile(t, path)
		if raw := c.header == "" && c.link != 276; raw {
			continue // these are read as connections without an identity
		}
		if got, want := lines(records, 0), lines(whole, 0); got != want || len(damage) > 0 || len(remarks) != 1 || !strings.Contains(remarks[0], "are not the recorder's") {
			t.Errorf("link type %d merged: damage %v, remarks %q, records\n%s", c.link, damage, remarks, got)
		}
		_, damage, _ = readFile(t, writeTemp(t, "b.pcapng", bare))
		if len(damage) != 1 || !errors.Is(damage[0], record.ErrUnsupported) {
			t.Errorf("link type %d alone: damage %v", c.link, damage)
		}
	}
}

func TestUnsupportedFilesAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"pcap":      {"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "classic pcap"},
		"zstd":      {"\x28\xb5\x2f\xfd\x00\x00", "zstd -d"},
		"xz":        {"\xfd7zXZ\x00\x00", "xz -d"},
		"lz4":       {"\x04\x22\x4d\x18\x00", "lz4 -d"},
		"bzip2":     {"BZh91AY", "bzip2 -d"},
		"version 2": {string(rawBlock(binary.LittleEndian, 0x0a0d0d0a, []byte("\x4d\x3c\x2b\x1a\x02\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))), "version 2"},
	} {
		_, damage, _ := readFile(t, writeTemp(t, "x.pcapng", []byte(c.content)))
		if len(damage) != 1 || !errors.Is(damage[0], record.ErrUnsupported) || !strings.Contains(damage[0].Error(), c.want) {
			t.Errorf("%s: %v", name, damage)
		}
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00"))
	_ = w.Close()
	if _, damage, _ := readFile(t, writeTemp(t, "x.gz", zipped.Bytes())); len(damage) != 1 || !strings.Contains(damage[0].Error(), "classic pcap") {
		t.Errorf("pcap in gzip: %v", damage)
	}
}

// A lost interface block or a wrong time is damage, and costs no bytes.
func TestPacketsWithoutAnInterfaceAreRead(t *testing.T) {
	file := smallDump("pcapng")
	blocks := blocksOf(file)
	records, damage, err := readBytes(bytes.Join(append(blocks[:1:1], blocks[2:]...), nil))
	if got, want := lines(records, 0), lines(readAll(t, file), 0); got != want || len(damage) != 1 || err != nil {
		t.Errorf("damage %v, %v, records\n%s", damage, err, got)
	}
	seconds := bytes.Clone(file)
	at := bytes.Index(seconds, []byte("\x09\x00\x01\x00\x09"))
	seconds[at+4] = 0
	records, damage, err = readBytes(seconds)
	if len(records) != 9 || len(damage) != 1 || err != nil {
		t.Errorf("%d records, damage %v, %v", len(records), damage, err)
	}
}
