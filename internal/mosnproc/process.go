package mosnproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// poll is the interval between two checks of the state of a process.
const poll = 10 * time.Millisecond

// Process is one running MOSN. It is safe for concurrent use.
type Process struct {
	Admin *Client // its admin server

	base string
	cmd  *exec.Cmd
	done chan struct{} // closed by wait's goroutine when the process has ended
	exit error         // how it ended; written before done is closed
}

// Spec says how to start a process.
type Spec struct {
	Binary    string              // what Build returned
	Base      string              // folder of the process's own; configuration and logs go under it
	AdminPort int                 // loopback port of its admin server
	Env       []string            // added to the caller's environment, as "NAME=value"
	Account   *syscall.Credential // whom it runs as; nil means the caller
}

// Start runs MOSN on config and returns when the admin server and all TCP and
// Unix listeners accept connections. Relative paths in config are relative to
// Base; the log goes there unless config says otherwise. The caller stops the
// process; ctx bounds the start alone.
func (s Spec) Start(ctx context.Context, config Config) (*Process, error) {
	for i := range config.Servers {
		if server := &config.Servers[i]; server.LogPath == "" {
			server.LogPath, server.LogLevel = filepath.Join(s.Base, "logs", "mosn.log"), "INFO"
		}
	}
	config.Admin.Address.Socket.Address = "127.0.0.1"
	config.Admin.Address.Socket.Port = s.AdminPort
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	p, err := s.StartText(text)
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, config); err != nil {
		return nil, errors.Join(err, p.Kill(), fmt.Errorf("its log:\n%s", p.Log()))
	}
	return p, nil
}

// StartText is Start for a configuration that is text already. It does
// not wait until the process is ready; see Ready. It does not keep text.
func (s Spec) StartText(text []byte) (*Process, error) {
	output, err := s.prepare(text)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	cmd := exec.Command(s.Binary, "start", "-c", configPath(s.Base), "--drain-time-s", "1")
	cmd.Dir = s.Base
	// Race reports go to files, where Races finds them.
	cmd.Env = append(os.Environ(), "GORACE=exitcode=0 log_path="+filepath.Join(s.Base, "race"))
	cmd.Env = append(cmd.Env, s.Env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.Account}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Binary, err)
	}
	p := &Process{Admin: newClient(s.AdminPort), base: s.Base, cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the process, which Stop and Kill end
		defer close(p.done)
		p.exit = cmd.Wait()
	}()
	return p, nil
}

// configPath returns the path of a process's configuration. MOSN derives its folders
// from it: logs and sockets go beside the folder that has it
// (pkg/types/config.go, InitDefaultPath).
func configPath(base string) string { return filepath.Join(base, "conf", "mosn.json") }

// prepare makes the process's folders, writes its configuration and opens the
// file for its output. A process that is started again in the same folder
// adds to the file.
func (s Spec) prepare(text []byte) (output *os.File, err error) {
	logs, conf := filepath.Join(s.Base, "logs"), filepath.Dir(configPath(s.Base))
	for _, dir := range []string{logs, conf} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the process's folder: %w", err)
		}
	}
	if err := os.WriteFile(configPath(s.Base), text, 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	if s.Account != nil {
		for _, path := range []string{s.Base, logs, conf, configPath(s.Base)} {
			if err := os.Chown(path, int(s.Account.Uid), int(s.Account.Gid)); err != nil {
				return nil, fmt.Errorf("hand the process's folder over: %w", err)
			}
		}
	}
	output, err = os.OpenFile(filepath.Join(logs, "output.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the process's output: %w", err)
	}
	return output, nil
}

// ready waits until all that config makes the process serve accepts connections.
func (p *Process) ready(ctx context.Context, config Config) error {
	if err := p.Ready(ctx); err != nil {
		return err
	}
	for _, s := range config.Servers {
		for _, l := range s.Listeners {
			network := l.Network
			if network == "" {
				network = "tcp"
			}
			if network == "udp" {
				continue // nothing to connect to
			}
			address := l.Address
			if network == "unix" && !filepath.IsAbs(address) {
				address = filepath.Join(p.base, address)
			}
			if err := p.Accepts(ctx, network, address); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ready waits until the admin server answers.
func (p *Process) Ready(ctx context.Context) error {
	return p.until(ctx, "the admin server answers", func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin.base+"/api/v1/version", http.NoBody)
		if err != nil {
			return false
		}
		res, err := p.Admin.http.Do(req)
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
}

// Accepts waits until a connection to address succeeds.
func (p *Process) Accepts(ctx context.Context, network, address string) error {
	return p.until(ctx, network+" "+address+" accepts", func() bool {
		conn, err := net.DialTimeout(network, address, time.Second)
		return err == nil && conn.Close() == nil
	})
}

// until returns when isSo returns true, which it calls again and again. It returns an
// error that names what when the process ends or ctx is done.
func (p *Process) until(ctx context.Context, what string, isSo func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return fmt.Errorf("wait until %s: the process ended: %w", what, p.exit)
		default:
		}
		if isSo() {
			return nil
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// Pid returns the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Base returns the process's folder.
func (p *Process) Base() string { return p.base }

// ConfigPath returns the path of the configuration with which the process was started.
func (p *Process) ConfigPath() string { return configPath(p.base) }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to shut down gracefully and waits until it has ended, or
// kills it when ctx is done. It may be called again.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.Pid(), err)
	}
	select {
	case <-p.done:
		return p.exit
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("process %d does not stop: %w", p.Pid(), ctx.Err()), p.Kill())
	}
}

// Kill kills the process and waits until it has ended.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", p.Pid(), err)
	}
	<-p.done
	return nil
}

// Log returns the process's logs and its output so far, each under its file's name.
func (p *Process) Log() string {
	var all strings.Builder
	paths, _ := filepath.Glob(filepath.Join(p.base, "logs", "*.log"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			text = []byte(err.Error() + "\n")
		}
		fmt.Fprintf(&all, "--- %s\n%s", filepath.Base(path), text)
	}
	return all.String()
}

// Races returns the race detector's reports in which this module's code is about to read
// or write. MOSN has races of its own, some in goroutines that its listeners start when
// this module's wrapper of a listener is asked to.
func (p *Process) Races() []string {
	var ours []string
	paths, _ := filepath.Glob(filepath.Join(p.base, "race.*"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			ours = append(ours, err.Error())
			continue
		}
		for _, report := range strings.Split(string(text), "==================") {
			accesses, _, _ := strings.Cut(report, "\nGoroutine ") // where goroutines were created comes behind
			if strings.Contains(accesses, "mosn.io/tcpcopy/") {
				ours = append(ours, report)
			}
		}
	}
	return ours
}
