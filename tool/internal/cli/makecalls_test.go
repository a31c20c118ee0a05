package cli_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// answer returns an answer of HTTP with a body.
func answer(status, fields, body string) string {
	return "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

func itoa(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// callSteps are the calls of a dump, a millisecond apart.
func callSteps(window string) []step {
	in, out := record.In, record.Out
	open1, data1, _, end1 := talk(window, 1, "10.0.0.1:50001", "10.9.9.9:8080")
	open2, data2, _, end2 := talk(window, 2, "10.0.0.1:50002", "10.9.9.9:8080")
	open3, data3, _, _ := talk(window, 3, "10.0.0.3:50003", "10.9.9.9:8080")
	open4, data4, _, _ := talk(window, 4, "10.0.0.4:50004", "10.9.9.9:6379")
	open5, data5, gap5, end5 := talk(window, 5, "10.0.0.5:50005", "10.9.9.9:8080")
	open6, data6, _, _ := talk(window, 6, "10.0.0.6:50006", "10.9.9.9:8080")
	form := "user=ann&note=a+b%26c&empty="
	return []step{
		open6, data6(in, "GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n"), // it ends last
		open1, data1(in, "GET /a?x=1&y=b%20c HTTP/1.1\r\nHost: shop.example:80\r\nCookie: sid=7; theme=dark\r\nX-Request-Id: 77\r\n\r\n"),
		data1(out, answer("200 OK", "Content-Type: application/json\r\nSet-Cookie: sid=8; Path=/; Secure; HttpOnly; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\n", `{"a":"<é>"}`)),
		data1(in, "POST /form HTTP/1.1\r\nHost: shop.example:80\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+itoa(len(form))+"\r\n\r\n"), data1(in, form),
		data1(out, answer("503 Service Unavailable", "Content-Type: text/plain\r\n", "try later\n")), end1("RemoteClose"),
		open2, data2(in, "GET /zip HTTP/1.1\r\nHost: [::1]\r\nAccept-Encoding: gzip\r\n\r\n"),
		data2(out, answer("200 OK", "Content-Encoding: gzip\r\nContent-Type: text/css\r\n", string(zipped([]byte(strings.Repeat("a{b:c}", 100)))))),
		data2(in, "GET /old HTTP/1.1\r\nHost: bad host\r\n\r\n"), data2(out, answer("302 Found", "Location: /new\r\n", "")),
		data2(in, "GET /png HTTP/1.1\r\nHost: shop\r\n\r\n"), data2(out, answer("200 OK", "Content-Type: image/png\r\n", "\x89PNG\r\n\x1a\n\x00")),
		data2(in, "GET /gone HTTP/1.1\r\nHost: shop\r\n\r\n"), end2("RemoteClose"),
		open3, data3(in, "GET /chat?room=5 HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"),
		data3(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
		data3(in, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), // "Hello", masked (RFC 6455, section 5.7)
		data3(out, "\x81\x05World"),
		open4, data4(in, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"), data4(out, "$5\r\nvalue\r\n"), data4(in, "*1\r\n$3\r\nFOO\r\n"), data4(out, "-ERR unknown command\r\n"),
		data3(out, "\x82\x03\x00\x01\x02"),
		data3(in, "\x88\x82\x00\x00\x00\x00\x03\xe8"), // 1000
		open5, data5(in, "GET /gap HTTP/1.1\r\nHost: shop\r\n\r\n"), data5(out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1010\r\n\r\nbegin"),
		gap5(out, 1000, record.ReasonLimit), data5(out, "end.\n"),
		data5(in, "GET /early HTTP/1.1\r\nHost: shop\r\n\r\n"), data5(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly"), end5("LocalClose"),
		data6(out, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"), data6(out, answer("200 OK", "", "done")),
	}
}

// databaseSteps are calls of databases.
func databaseSteps(window string) []step {
	in, out := record.In, record.Out
	redis, r, _, _ := talk(window, 1, "10.0.0.1:50001", "10.9.9.9:6379")
	pg, p, _, _ := talk(window, 2, "10.0.0.1:50002", "10.9.9.9:5432")
	mysql, m, _, _ := talk(window, 3, "10.0.0.1:50003", "10.9.9.9:3306")
	kafka, k, _, _ := talk(window, 4, "10.0.0.1:50004", "10.9.9.9:9092")
	message := func(typ, body string) string {
		return typ + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
	}
	framed := func(body string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body }
	packet := func(number byte, body string) string {
		return string([]byte{byte(len(body)), 0, 0, number}) + body
	}
	ok := "\x00\x00\x00\x02\x00\x00\x00"
	eof := "\xfe\x00\x00\x02\x00"
	column := "\x03def\x00\x00\x00\x01n\x00\x0c\x21\x00\x60\x00\x00\x00\xfd\x00\x00\x00\x00\x00"
	return []step{
		redis, r(in, "*4\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"), r(out, "*3\r\n$3\r\nann\r\n$-1\r\n$9\r\ntwo\nlines\r\n"),
		r(in, "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"), r(out, "$-1\r\n"),
		pg, p(in, message("", "\x00\x03\x00\x00user\x00me\x00database\x00shop\x00\x00")), p(out, message("R", "\x00\x00\x00\x00")+message("Z", "I")),
		p(in, message("Q", "SELECT * FROM t\x00")), p(out, message("D", "\x00\x02\x00\x00\x00\x011\x00\x00\x00\x03ann")+message("D", "\x00\x02\x00\x00\x00\x012\xff\xff\xff\xff")+message("C", "SELECT 2\x00")+message("Z", "I")),
		p(in, message("Q", "COPY t TO STDOUT\x00")), p(out, message("H", "\x00\x00\x00")+message("d", "1\tann\n")+message("d", "2\t-\n")+message("c", "")+message("C", "COPY 2\x00")+message("Z", "I")),
		mysql, m(out, packet(0, "\x0a5.5.5-10.11.6-MariaDB\x00\x08\x00\x00\x00abcdefgh\x00\xfe\xf7\x08\x02\x00\x3f\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00abcdefghijkl\x00mysql_native_password\x00")),
		m(in, packet(1, "\x00\xa2\x08\x00\x00\x00\x00\x01\x21"+strings.Repeat("\x00", 23)+"me\x00\x00")), m(out, packet(2, ok)),
		m(in, packet(0, "\x03SELECT n, x FROM t")), m(out, packet(1, "\x02")+packet(2, column)+packet(3, column)+packet(4, eof)+packet(5, "\x03ann\xfb")+packet(6, "\x00\x03bob")+packet(7, eof)),
		m(in, packet(0, "\x03SELECT nope")), m(out, packet(1, "\xff\x1e\x04#42S22Unknown column 'nope'")),
		kafka, k(in, framed("\x00\x03\x00\x00\x00\x00\x00\x07\x00\x03app\x00\x00\x00\x01\x00\x04nope")),
		k(out, framed("\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x01\x00\x04host\x00\x00\x23\x84\x00\x00\x00\x01\x00\x03\x00\x04nope\x00\x00\x00\x00")),
	}
}

// oldSteps are calls of HTTP/1.0.
func oldSteps(window string) []step {
	open1, data, _, end := talk(window, 1, "10.0.0.1:50001", "10.9.9.9:8080")
	return []step{
		open1, data(record.In, "GET /old HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\r\n"), data(record.Out, answer("200 OK", "Connection: keep-alive\r\n", "kept")),
		data(record.In, "GET /older HTTP/1.0\r\n\r\n"), data(record.Out, "HTTP/1.0 404\r\n\r\nto the end"), end("RemoteClose"),
	}
}

// makecalls DIR FORMAT [twice|databases|old] writes a dump with the calls of callSteps, or of the others, and its index. With
// twice a second window has the same connections, without an index.
func makecalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: makecalls DIR hex_meta|pcapng [twice|databases|old]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	name, file := layout.FlowLog, []byte(nil)
	var e record.Encoder = hexlog.NewMetaEncoder()
	if args[1] == "pcapng" {
		name = layout.Segment{Opened: dumpStart, Window: firstWindow, Run: "k3v9qa", Number: 1}.Name()
		e, file = pcapng.NewEncoder(), pcapng.AppendInterface(pcapng.AppendSectionHeader(nil, "test"), "ingress", "tcp 8080")
	}
	if others := map[string]func(string) []step{"databases": databaseSteps, "old": oldSteps}; len(args) > 2 && others[args[2]] != nil {
		ts.Check(os.WriteFile(filepath.Join(dir, name), encodeWindow(e, file, others[args[2]](firstWindow), dumpStart), 0o600))
		return
	}
	content := encodeWindow(e, file, callSteps(firstWindow), dumpStart)
	if len(args) > 2 {
		content = encodeWindow(e, content, callSteps(secondWindow), dumpStart.Add(time.Minute))
	}
	ts.Check(os.WriteFile(filepath.Join(dir, name), content, 0o600))
	line := indexLines()[0]
	line.Files, line.Ports = []string{name}, []string{"6379", "8080"}
	index, err := json.Marshal(line)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, layout.Index), append(index, '\n'), 0o600))
}
