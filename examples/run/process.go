package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long run waits.
const (
	startTime = 30 * time.Second      // until MOSN serves
	poll      = 20 * time.Millisecond // between two questions whether it does
)

// process is the running MOSN.
type process struct {
	config *config
	cmd    *exec.Cmd
	logged int64         // bytes of MOSN's log that are of earlier processes
	done   chan struct{} // closed by wait's goroutine when the process has ended
	exit   error         // how it ended; written before done is closed
}

// start starts MOSN with the configuration in configFile. The process has a group of its
// own, so that the terminal's Ctrl-C does not reach it a second time.
func start(c *config) (*process, error) {
	p := &process{config: c, done: make(chan struct{})}
	if info, err := os.Stat(c.Servers[0].LogPath); err == nil {
		p.logged = info.Size()
	}
	output, err := os.OpenFile(startLog, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p.cmd = exec.Command(binary, "start", "-c", configFile)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (`make build` builds it)", err)
	}
	go func() { // ends with the process
		defer close(p.done)
		p.exit = p.cmd.Wait()
	}()
	return p, nil
}

// ready returns when MOSN records on all of its listeners. It ends MOSN and returns an
// error if that does not come to be; ended is true if a signal came before.
func (p *process) ready(signals <-chan os.Signal) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		s, err := p.status(ctx)
		switch {
		case err == nil && len(s.Refused) > 0:
			var errs []error
			for _, r := range s.Refused {
				errs = append(errs, fmt.Errorf("the recorder refuses the configuration of listener %s: %s", r.Listener, r.Error))
			}
			return false, errors.Join(append(errs, p.end(signals))...)
		case err == nil && len(s.Output.Listeners) == len(p.config.listeners()):
			return false, nil
		}
		select {
		case <-p.done:
			return false, p.failed()
		case <-ctx.Done():
			return false, errors.Join(fmt.Errorf("MOSN does not serve after %v: %w", startTime, err), p.end(signals), p.failed())
		case <-signals:
			return true, p.end(signals)
		case <-tick.C:
		}
	}
}

// status is the part of the recorder's status that says whether it records.
type status struct {
	Output struct {
		Listeners []string `json:"listeners"`
	} `json:"output"`
	Refused []struct {
		Listener string `json:"listener"`
		Error    string `json:"error"`
	} `json:"refused"`
}

// status asks the admin server for the recorder's status.
func (p *process) status(ctx context.Context) (s status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.config.admin()+"/api/v1/tcpcopy", http.NoBody)
	if err != nil {
		return s, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the admin server answers %s", res.Status)
	}
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// wait returns when MOSN has ended. It ends MOSN when a signal comes.
func (p *process) wait(out io.Writer, signals <-chan os.Signal) error {
	select {
	case <-p.done:
		if p.exit != nil {
			return p.failed()
		}
		return nil // somebody has stopped it
	case <-signals:
		fmt.Fprintln(out, "\nending MOSN; what is recorded is written out …")
		return p.end(signals)
	}
}

// end ends MOSN in order, or at once if another signal comes, and waits for it.
func (p *process) end(signals <-chan os.Signal) error {
	// MOSN closes its connections at SIGINT; at SIGTERM it waits for its clients, for ten
	// minutes (pkg/server/keeper).
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end MOSN: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-signals:
	}
	err := p.cmd.Process.Kill()
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return errors.Join(err, errors.New("MOSN was killed before it had ended in order"))
}

// failed returns an error with what MOSN says about its end.
func (p *process) failed() error {
	words := p.complaints()
	if len(words) == 0 {
		words = []string{"it does not say why"}
	}
	return fmt.Errorf("MOSN has ended (%v):\n  %s\nall that it said is in %s and %s",
		p.cmd.ProcessState, strings.Join(words, "\n  "), startLog, p.config.Servers[0].LogPath)
}

// complaints returns the lines of MOSN's logs that say what failed.
func (p *process) complaints() []string {
	return append(complaints(startLog, 0), complaints(p.config.Servers[0].LogPath, p.logged)...)
}

// complaints returns the lines of a log, from offset on, that say what failed, at most
// twenty.
func complaints(path string, offset int64) []string {
	const most = 20
	text, err := os.ReadFile(path)
	if err != nil || offset > int64(len(text)) {
		return nil
	}
	has := func(line string, words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) })
	}
	var all []string
	for _, line := range strings.Split(string(text[offset:]), "\n") {
		// Each MOSN without a control plane says that it has none.
		if has(line, "[ERROR]", "[FATAL]", "panic:", "mosn: ") && !has(line, "start xds failed", "StaticResources is null") {
			all = append(all, line)
		}
	}
	return all[max(0, len(all)-most):]
}
