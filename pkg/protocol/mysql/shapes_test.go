package mysql

import (
	"errors"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// start is a login of a client with capabilities besides those that all have.
func start(caps uint32) []string {
	return []string{"<" + packet(0, hello), ">" + packet(1, loginOf(caps)), "<" + packet(2, okay)}
}

// What MySQL 8 has and MariaDB does not, by its documentation.
func TestShapesOfMySQL8(t *testing.T) {
	for name, c := range map[string]struct {
		session []string
		want    string // method, target, status of the calls behind the login
	}{
		"fast login by caching_sha2_password": {
			[]string{"<" + packet(0, hello), ">" + packet(1, loginOf(0)), "<" + packet(2, "\x01\x03") + packet(3, okay), ">" + packet(0, "\x0e"), "<" + packet(1, okay)},
			"PING  OK",
		},
		"whole login by caching_sha2_password": {
			[]string{
				"<" + packet(0, hello), ">" + packet(1, loginOf(0)), "<" + packet(2, "\x01\x04"), ">" + packet(3, "\x02"),
				"<" + packet(4, "\x01-----BEGIN PUBLIC KEY-----"), ">" + packet(5, strings.Repeat("k", 256)), "<" + packet(6, okay),
				">" + packet(0, "\x0e"), "<" + packet(1, okay),
			},
			"PING  OK",
		},
		"attributes in front of a statement": {
			append(start(capAttributes), ">"+packet(0, "\x03\x01\x01\x00\x01\xfe\x00\x05trace\x03abcSELECT 7"), "<"+packet(1, okay),
				">"+packet(0, "\x03\x00\x01SELECT 8"), "<"+packet(1, okay)),
			"QUERY SELECT 7 OK, QUERY SELECT 8 OK",
		},
		"columns that are not described": {
			append(start(capOptionalMeta), ">"+packet(0, "\x03SELECT 1"), "<"+packet(1, "\x00\x01")+packet(2, "\x011")+packet(3, ending),
				">"+packet(0, "\x03SELECT 2"), "<"+packet(1, "\x01\x01")+packet(2, column)+packet(3, "\x012")+packet(4, ending)),
			"QUERY SELECT 1 OK, QUERY SELECT 2 OK",
		},
		"an OK that says what has changed": {
			append(start(0), ">"+packet(0, "\x03USE x"), "<"+packet(1, "\x00\x00\x00\x02\x40\x00\x00\x00\x04\x01\x02\x01x"), ">"+packet(0, "\x0e"), "<"+packet(1, okay)),
			"QUERY USE x OK, PING  OK",
		},
		"an error without SQLSTATE": {
			append(start(0), ">"+packet(0, "\x0e"), "<"+packet(1, "\xff\x08\x04Server shutdown")),
			"PING  1032",
		},
		"rows that look like ends": {
			append(start(0), ">"+packet(0, "\x03SELECT ''"), "<"+packet(1, "\x01")+packet(2, column)+packet(3, "\x00")+packet(4, "\xfb")+packet(5, ending)),
			"QUERY SELECT '' OK",
		},
		"how far the server has got": {
			append(start(0), ">"+packet(0, "\x03ALTER TABLE t"), "<"+packet(1, "\xff\xff\xff\x01\x01\x02\x00\x00\x00\x03abc"), "<"+packet(2, okay)),
			"QUERY ALTER TABLE t OK",
		},
		"a client of MySQL 4.0": {
			[]string{"<" + packet(0, hello), ">" + packet(1, "\x05\x20\xff\xff\xffme\x00pass\x00"), "<" + packet(2, okay), ">" + packet(0, "\x0e"), "<" + packet(1, okay)},
			"PING  OK",
		},
		"ends behind columns that were not agreed on": {
			append(start(0), ">"+packet(0, "\x16SELECT ?, 1"),
				"<"+packet(1, "\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00")+packet(2, column)+packet(3, column),
				">"+packet(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfe\x00\x01x"), "<"+packet(1, "\x01")+packet(2, column)+packet(3, "\x00\x00\x01y")+packet(4, ending)),
			"PREPARE SELECT ?, 1 OK, EXECUTE SELECT ?, 1 OK",
		},
	} {
		t.Run(name, func(t *testing.T) {
			session := parsetest.Talk(c.session...)
			got, err := parsetest.Decode(&Protocol, session, true)
			if err != nil {
				t.Fatal(err)
			}
			var list []string
			for _, c := range got.Calls[1:] {
				list = append(list, c.Method+" "+c.Target+" "+c.Status)
				if c.Incomplete != 0 {
					t.Errorf("%s %s is %v", c.Method, c.Target, c.Incomplete.Words())
				}
			}
			if got := strings.Join(list, ", "); got != c.want {
				t.Errorf("%s; want %s", got, c.want)
			}
			parsetest.Cuts(t, &Protocol, session)
			parsetest.Checkpoints(t, &Protocol, session)
			parsetest.Spans(t, &Protocol, session)
		})
	}
}

// A statement that needs several packets is one call, and so is a row.
func TestLongPackets(t *testing.T) {
	statement := "SELECT '" + strings.Repeat("x", maxPacket) + "'"
	sent := "\x03" + statement
	ask := packet(0, sent[:maxPacket]) + packet(1, sent[maxPacket:])
	row := "\xfd\xff\xff\xff" + strings.Repeat("y", maxPacket)
	answer := packet(2, "\x01") + packet(3, column) + packet(4, row[:maxPacket]) + packet(5, row[maxPacket:]) + packet(6, "\x01z") + packet(7, ending)
	session := parsetest.Talk(append(start(0), ">"+ask, "<"+answer, ">"+packet(0, "\x0e"), "<"+packet(1, okay))...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil || len(got.Calls) != 3 {
		t.Fatalf("%v, %d calls", err, len(got.Calls))
	}
	c := got.Calls[1]
	if c.Request.Length != uint64(len(ask)) || c.Response.Length != uint64(len(answer)) || c.Status != "OK" || !c.Request.Ended || !c.Response.Ended {
		t.Errorf("%s, request %+v, answer %+v", c.Status, c.Request, c.Response)
	}
	if want := statement[:maxBuffered-1] + cutMark; c.Target != want {
		t.Errorf("the target has %d bytes, want %d", len(c.Target), len(want))
	}
	parsetest.WithoutSpans(t, &Protocol, session)
}

// A client that wants encryption goes on in TLS; its greeting is no call.
func TestTLS(t *testing.T) {
	ask := packet(1, loginOf(capTLS)[:32])
	session := parsetest.Talk("<"+packet(0, hello), ">"+ask)
	got, err := parsetest.Decode(&Protocol, session, false)
	var upgrade *parse.Upgrade
	if !errors.As(err, &upgrade) || upgrade.To != call.TLS || upgrade.Other != uint64(len(packet(0, hello))) || len(got.Calls) > 0 {
		t.Errorf("%v (%+v), %d calls", err, upgrade, len(got.Calls))
	}
}

// The spans of a session are where passwords and parameters are.
func TestSpans(t *testing.T) {
	session := parsetest.Talk(append(start(0), ">"+packet(0, "\x16SELECT ?, ?"),
		"<"+packet(1, "\x00\x01\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00")+packet(2, column)+packet(3, column),
		">"+packet(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfe\x00\x03\x00\x03abc\x07\x00\x00\x00"), "<"+packet(1, okay),
		">"+packet(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x08\x00\x00\x00"), "<"+packet(1, okay),
		">"+packet(0, "\x18\x01\x00\x00\x00\x00\x00long data"),
		">"+packet(0, "\x03SELECT 'x'"), "<"+packet(1, "\xff\x28\x04#42000wrong"))...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, s := range got.Spans {
		list = append(list, s.Kind.String()+" "+s.Name+"="+string(s.Value))
	}
	const want = "header user=me, password =pass, target =SELECT ?, ?, argument 1=abc, argument 2=\x07\x00\x00\x00, argument 2=\x08\x00\x00\x00, " +
		"argument =long data, target =SELECT 'x', status code=\x28\x04, status sqlstate=42000, status message=wrong"
	if got := strings.Join(list, ", "); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	var in uint64
	for _, p := range session {
		if p.Dir == record.In {
			in += uint64(len(p.Data))
		}
	}
	if last := got.Calls[len(got.Calls)-1]; last.Request.End() != in || last.Code != 1064 {
		t.Errorf("the last call is %+v", last)
	}
}

// A connection that is compressed by zstd is given up where the first such packet is, and not before.
func TestZstd(t *testing.T) {
	plain := func(number byte, packet string) string {
		n := len(packet)
		return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), number, 0, 0, 0}) + packet
	}
	session := parsetest.Talk(append(start(capZstd), ">"+plain(0, packet(0, "\x0e")), "<"+plain(1, packet(1, okay)),
		">\x0c\x00\x00\x00\x64\x00\x00\x28\xb5\x2f\xfd\x20\x64\x00\x00\x00\x00\x00\x00")...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err == nil || !strings.Contains(err.Error(), "zstd") || len(got.Calls) != 2 || got.Calls[1].Method != "PING" || got.Calls[1].Status != "OK" {
		t.Errorf("%v, calls\n%s", err, parsetest.Lines(got.Calls))
	}
}

// An error that is too short to have a code is none: no server begins with it, and behind a gap nothing is waited for
// that would make it one.
func TestShortErrors(t *testing.T) {
	for _, body := range []string{"\xff", "\xff\x10", "\xff\x10\x04", "\xff\x10\x04Too many"} {
		short := packet(0, body)
		got, err := parsetest.Decode(&Protocol, parsetest.Talk("<"+short), true)
		if err == nil || len(got.Calls) > 0 {
			t.Errorf("a server that begins with %q: %v, %d calls", short, err, len(got.Calls))
		}
	}
	for _, body := range []string{"\xff", "\xff\x10", "\xff\x10\x04#0800"} {
		short := packet(2, body)
		next := packet(1, "\xff\x10\x04#08004Too many connections")
		if at, _, _ := find(record.Out, []byte(short+next), weightSync); at == 0 {
			t.Errorf("%q counts as the beginning of an error", short)
		}
	}
	for _, body := range []string{"\xff", "\xff\x10"} {
		session := parsetest.Talk(append(start(0), ">"+packet(0, "\x0e"), "<"+packet(1, body), "<"+packet(1, okay))...)
		got, err := parsetest.Decode(&Protocol, session, true)
		if err != nil || len(got.Calls) < 2 || got.Calls[1].Failed {
			t.Errorf("an answer that begins with %q: %v\n%s", body, err, parsetest.Text(got.Calls))
		}
	}
}
