package test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// However the process is asked to end, what was recorded in the window that is
// open then is on disk, and in the index, when it has ended.
func TestShutdownInAWindowLosesNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context, *testing.T, *mosn){
		"SIGTERM": func(ctx context.Context, t *testing.T, m *mosn) {
			if err := m.Stop(ctx); err != nil {
				t.Errorf("stop: %v", err)
			}
		},
		"stop command": func(ctx context.Context, t *testing.T, m *mosn) {
			binary, err := mosnBinary()
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(ctx, binary, "stop", "-c", m.ConfigPath()).CombinedOutput(); err != nil {
				t.Errorf("mosn stop: %v\n%s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, address := newBase(t), freeAddress(t)
			m := start(t, base, configOf(upstream(t, echo),
				mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
			id := m.open()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			sendAndReceive(t, conn, "last words")

			ctx := deadline(t)
			end(ctx, t, m)
			select {
			case <-m.Done():
			case <-ctx.Done():
				t.Fatal("the process goes on")
			}
			w := m.indexed(id)
			complete(t, w)
			all := m.connections(w)
			if len(all) != 1 {
				t.Fatalf("%d connections", len(all))
			}
			for _, stream := range []func() ([]byte, error){all[0].In.Bytes, all[0].Out.Bytes} {
				if got, err := stream(); err != nil || string(got) != "last words" {
					t.Errorf("recorded %q, %v", got, err)
				}
			}
		})
	}
}

func TestCommandLineFaultsAreNamed(t *testing.T) {
	t.Parallel()
	binary, err := mosnBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"start", "-c", "none.json", "-l", "loud"}, `--log-level "loud"`},
		{[]string{"start", "-c", "none.json", "-f", "Nonsense=true"}, "Nonsense"},
	} {
		out, err := exec.CommandContext(deadline(t), binary, c.args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("mosn %q: %v, %q does not name %q", c.args, err, out, c.want)
		}
	}
	help, err := exec.CommandContext(deadline(t), binary, "start", "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "--config") || !strings.Contains(string(help), "--service-cluster") {
		t.Errorf("mosn start --help: %v\n%s", err, help)
	}
}
