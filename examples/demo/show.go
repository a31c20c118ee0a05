package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// show prints what dump holds of window and compares it with what the clients
// sent and received.
func show(out io.Writer, dump, window string, clients []*wiretap.Conn) error {
	line, err := indexLine(dump, window)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nthe window's line in the index:\n%s\n", line)

	lines, err := oracle.ReadMeta(dump)
	if err != nil {
		return err
	}
	recorded, err := oracle.Connections(lines)
	if err != nil {
		return err
	}
	if err := compare(recorded, clients); err != nil {
		return err
	}

	fmt.Fprintln(out, "\none recorded connection:")
	printConversation(out, lines, clients[0].LocalAddr().String())

	fmt.Fprintf(out, "\nthe files:\n")
	files, err := os.ReadDir(dump)
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintf(out, "  %s\n", filepath.Join(dump, f.Name()))
	}
	fmt.Fprintf(out, "\n%d connections with %d requests: what was recorded equals what was sent and received.\n",
		len(clients), len(clients)*requests)

	fmt.Fprintf(out, "\nlook at it yourself:\n")
	for _, command := range []string{
		"windows " + dump,
		"conns " + dump,
		"calls " + dump,
		"show " + recorded[0].Conn + " " + dump,
		"export -o " + filepath.Join(filepath.Dir(dump), "demo.pcapng") + " " + dump,
	} {
		fmt.Fprintf(out, "  bin/tcpcopyctl %s\n", command)
	}
	fmt.Fprintln(out, "\nrecord your own requests: make run")
	return nil
}

// indexLine returns the text of the window's line, once its accounts are checked.
func indexLine(dump, window string) (string, error) {
	w, err := oracle.FindWindow(dump, window)
	if err != nil {
		return "", err
	}
	if w.Lost != (oracle.PerDirection{}) {
		return "", fmt.Errorf("window %s lost %d bytes in and %d out: %v", window, w.Lost.In, w.Lost.Out, w.LostBy)
	}
	text, err := os.ReadFile(filepath.Join(dump, "dump_windows.jsonl"))
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if strings.Contains(lines.Text(), window) {
			return lines.Text(), nil
		}
	}
	return "", fmt.Errorf("no line of window %s", window)
}

// compare compares each client's recorded connection, found by its address, with what the client sent and received.
func compare(recorded []*oracle.Connection, clients []*wiretap.Conn) error {
	if len(recorded) != len(clients) {
		return fmt.Errorf("%d connections recorded of %d", len(recorded), len(clients))
	}
	byAddress := map[string]*oracle.Connection{}
	for _, c := range recorded {
		byAddress[c.Client] = c
	}
	for _, client := range clients {
		address := client.LocalAddr().String()
		c := byAddress[address]
		if c == nil {
			return fmt.Errorf("nothing recorded of the connection from %s", address)
		}
		for _, d := range []struct {
			name   string
			stream oracle.Stream
			want   []byte
		}{{"sent", c.In, client.Written()}, {"received", c.Out, client.WasRead()}} {
			got, err := d.stream.Bytes()
			if err != nil {
				return fmt.Errorf("connection %s: %w", c.Conn, err)
			}
			if !bytes.Equal(got, d.want) {
				return fmt.Errorf("connection %s: %s %d bytes, recorded %d that differ", c.Conn, d.name, len(d.want), len(got))
			}
		}
	}
	return nil
}

// printConversation writes the records of a client's connection in their order
// as escaped text.
func printConversation(out io.Writer, lines []oracle.Line, client string) {
	const most = 12 // lines of one record
	conn := ""
	for _, l := range lines {
		if l.Kind == oracle.Open && l.Client == client {
			conn = l.Conn
		}
		if l.Conn != conn {
			continue
		}
		switch l.Kind {
		case oracle.Open:
			fmt.Fprintf(out, "%s  %s -> %s\n", l.Time, l.Client, l.Server)
		case oracle.Close:
			fmt.Fprintf(out, "%s  closed: %s\n", l.Time, l.Reason)
		case oracle.Gap:
			fmt.Fprintf(out, "%s  %s gap of %d bytes: %s\n", l.Time, l.Direction, l.Length, l.Reason)
		case oracle.Data:
			fmt.Fprintf(out, "%s  %s %d bytes at offset %d\n", l.Time, l.Direction, l.Length, l.Offset)
			text := strings.SplitAfter(string(l.Payload), "\n")
			for _, row := range text[:min(most, len(text))] {
				fmt.Fprintf(out, "    %s %s\n", l.Direction, escape(row))
			}
		}
	}
}

// escape makes text safe for a terminal and short enough for a line of it.
func escape(text string) string {
	const most = 100
	rest := ""
	if len(text) > most {
		rest = fmt.Sprintf(" … and %d bytes", len(text)-most)
		text = text[:most]
	}
	quoted := strconv.QuoteToASCII(text)
	return quoted[1:len(quoted)-1] + rest
}
