package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// variant is one way to record, or not to.
type variant struct {
	name    string
	formats []string // of the filter; nil means a MOSN without it
	window  bool     // a window is open during the load
	tcpdump bool
	disk    bool // nothing records, and another process writes as many bytes to the disk
}

// noFilter is the variant that the others are measured against.
const noFilter = "no filter"

// variants are shown in this order, noFilter first.
func variants() []variant {
	return []variant{
		{name: noFilter},
		{name: "switch off", formats: []string{"hex_meta"}},
		{name: "pcapng", formats: []string{"pcapng"}, window: true},
		{name: "hex_meta", formats: []string{"hex_meta"}, window: true},
		{name: "hex, requests", formats: []string{"hex"}, window: true},
		{name: "tcpdump", tcpdump: true},
		{name: "disk alone", disk: true},
	}
}

// bufferSize is the filter's in the comparison, bytes.
const bufferSize = 64 << 20

// proxy is a running MOSN of one variant.
type proxy struct {
	variant variant
	process *mosnproc.Process
	address string
	port    int
	dump    string // the dump directory, of the filter or of tcpdump
}

// start runs the variant's MOSN in a folder below base.
func (v variant) start(ctx context.Context, binary, base, upstream string, ports *mosnproc.Ports) (*proxy, error) {
	admin, err := ports.Next()
	if err != nil {
		return nil, err
	}
	port, err := ports.Next()
	if err != nil {
		return nil, err
	}
	p := &proxy{variant: v, port: port, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	home, err := os.MkdirTemp(base, "mosn-*")
	if err != nil {
		return nil, err
	}
	p.dump = filepath.Join(home, "dump")
	if err := os.Mkdir(p.dump, 0o700); err != nil {
		return nil, err
	}
	filters := []mosnproc.Filter{mosnproc.TCPProxy()}
	if v.formats != nil {
		direction := "both"
		if v.formats[0] == "hex" {
			direction = "request"
		}
		filters = append([]mosnproc.Filter{{Type: "tcpcopy", Config: map[string]any{
			"capture": map[string]any{"direction": direction},
			"output":  map[string]any{"dir": p.dump, "formats": v.formats, "roll": "size=1024 keep=1000", "max_total": "0", "min_free": "0"},
			"buffer":  map[string]any{"size": bufferSize},
			"guard":   "off",
		}}}, filters...)
	}
	p.process, err = mosnproc.Spec{Binary: binary, Base: home, AdminPort: admin}.Start(ctx, mosnproc.Config{
		Servers:  []mosnproc.Server{{Listeners: []mosnproc.Listener{mosnproc.NewListener("bench", p.address, filters...)}}},
		Clusters: mosnproc.ClusterManager{Clusters: []mosnproc.Cluster{mosnproc.NewCluster(upstream)}},
	})
	return p, err
}

// measurement is one run of one variant.
type measurement struct {
	rate       float64 // requests per second
	p50, p99   time.Duration
	cpuPerGB   float64 // processor seconds of MOSN, and of the process beside it, a GB that passed
	totalPerGB float64 // processor seconds of the whole machine a GB that passed
	beside     float64 // processor seconds of the other process alone a GB that passed
	seen, lost uint64  // bytes; for tcpdump packets
	peak       int64   // bytes of memory of MOSN
}

// measure applies the load to the variant once.
func (p *proxy) measure(ctx context.Context, l load) (m measurement, err error) {
	l.address = p.address
	if err := p.process.ResetPeak(); err != nil {
		return m, err
	}
	other, err := p.variant.startBeside(p, &l)
	if err != nil {
		return m, err
	}
	if other != nil {
		defer func() { _, _, _ = other.stop() }() // the figures are asked for before
	}
	if p.variant.window {
		if _, err := p.process.Admin.OpenWindow(ctx, 10*time.Minute); err != nil {
			return m, err
		}
	}
	var mosnBefore, machineBefore, besideBefore time.Duration
	r, err := l.run(ctx, func() {
		mosnBefore, _ = cpuTime(p.process.Pid())
		machineBefore, _ = machineBusy()
		if other != nil {
			besideBefore, _ = cpuTime(other.pid())
		}
	})
	if err != nil {
		return m, err
	}
	mosnAfter, err := cpuTime(p.process.Pid())
	if err != nil {
		return m, err
	}
	machineAfter, err := machineBusy()
	if err != nil {
		return m, err
	}
	gb := float64(r.requests) * float64(l.size) * 2 / 1e9
	used := mosnAfter - mosnBefore
	if other != nil {
		besideAfter, err := cpuTime(other.pid())
		if err != nil {
			return m, err
		}
		m.beside = (besideAfter - besideBefore).Seconds() / gb
		used += besideAfter - besideBefore
		if m.seen, m.lost, err = other.stop(); err != nil {
			return m, err
		}
	}
	m.rate, m.p50, m.p99 = r.rate(), r.percentile(0.5), r.percentile(0.99)
	m.cpuPerGB, m.totalPerGB = used.Seconds()/gb, (machineAfter-machineBefore).Seconds()/gb
	if p.variant.window {
		if err := p.process.Admin.CloseWindow(ctx); err != nil {
			return m, err
		}
		if m.seen, m.lost, err = p.accounts(); err != nil {
			return m, err
		}
	}
	if m.peak, err = p.process.PeakMemory(); err != nil {
		return m, err
	}
	return m, p.clear()
}

// beside is a process that runs beside MOSN during a load.
type beside interface {
	pid() int
	// stop ends the process, at the first call, and returns how much it has seen and
	// lost.
	stop() (seen, lost uint64, err error)
}

// startBeside starts what the variant has beside its MOSN during l, nil for nothing.
func (v variant) startBeside(p *proxy, l *load) (beside, error) {
	switch {
	case v.tcpdump:
		return startTcpdump(p.port, filepath.Join(p.dump, "capture.pcap"))
	case v.disk:
		d, err := startDiskWriter(filepath.Join(p.dump, "written"))
		if err != nil {
			return nil, err
		}
		l.passed = &d.passed
		return d, nil
	default:
		return nil, nil
	}
}

// accounts returns the bytes seen and lost of the last window.
func (p *proxy) accounts() (seen, lost uint64, err error) {
	text, err := os.ReadFile(filepath.Join(p.dump, layout.Index))
	if err != nil {
		return 0, 0, err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	last := slices.DeleteFunc(lines, func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"mark"`)) })
	if len(last) == 0 {
		return 0, 0, errors.New("the index has no window")
	}
	line := last[len(last)-1]
	var w layout.WindowLine
	if err := json.Unmarshal(line, &w); err != nil {
		return 0, 0, err
	}
	if w.Seen.In != w.Written.In+w.Lost.In || w.Seen.Out != w.Written.Out+w.Lost.Out {
		return 0, 0, fmt.Errorf("the accounts of window %s do not add up: %s", w.Window, line)
	}
	return w.Seen.In + w.Seen.Out, w.Lost.In + w.Lost.Out, nil
}

// clear removes what was recorded, so that the disk does not fill up.
func (p *proxy) clear() error {
	entries, err := os.ReadDir(p.dump)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.Remove(filepath.Join(p.dump, e.Name())))
	}
	return errors.Join(errs...)
}

// tcpdump is a running tcpdump that writes a port's packets to a file.
type tcpdump struct {
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	reported chan struct{} // closed when all of stderr is there
	ended    bool
}

func startTcpdump(port int, file string) (*tcpdump, error) {
	t := &tcpdump{reported: make(chan struct{}), cmd: exec.Command("tcpdump", "-i", "lo", "-s", "0", "-w", file, "tcp", "port", strconv.Itoa(port))}
	pipe, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	// It prints "listening on" when it does.
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		t.stderr.WriteString(line)
		if err != nil {
			return nil, fmt.Errorf("tcpdump: %s", t.stderr.String())
		}
		if bytes.Contains([]byte(line), []byte("listening on")) {
			break
		}
	}
	go func() { // ends with the process
		defer close(t.reported)
		_, _ = io.Copy(&t.stderr, lines)
	}()
	return t, nil
}

var packets = regexp.MustCompile(`(\d+) packets? (captured|dropped by kernel)`)

func (t *tcpdump) pid() int { return t.cmd.Process.Pid }

// stop ends tcpdump and returns how many packets it has seen and lost.
func (t *tcpdump) stop() (seen, lost uint64, err error) {
	if t.ended {
		return 0, 0, nil
	}
	t.ended = true
	if err := t.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return 0, 0, err
	}
	<-t.reported
	if err := t.cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("tcpdump: %w: %s", err, t.stderr.String())
	}
	figures := packets.FindAllStringSubmatch(t.stderr.String(), -1)
	if len(figures) < 2 {
		return 0, 0, fmt.Errorf("tcpdump does not say what it has captured and lost: %s", t.stderr.String())
	}
	for _, m := range figures {
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		if m[2] == "captured" {
			seen += n
		} else {
			lost += n
		}
	}
	return seen + lost, lost, nil
}
