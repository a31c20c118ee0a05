package cli_test

import (
	"context"
	"os"
	"os/signal"
	"testing"
	_ "time/tzdata" // for scripts that set TZ

	"github.com/rogpeppe/go-internal/testscript"

	"mosn.io/tcpcopy/tool/internal/cli"
)

func TestMain(m *testing.M) {
	if os.Getenv("CTL_SCRIPT") == "" { // the commands of scripts have their own
		_ = os.Setenv("TZ", "UTC") // of the lines in the dumps that the tests make
	}
	testscript.Main(m, map[string]func(){
		"tcpcopyctl": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			code := cli.RunIsolated(ctx, os.Getenv("HOME"), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
			stop()
			os.Exit(code)
		},
		"killedrecorder": killedRecorder,
	})
}

// TestScripts runs the scripts in testdata/script. Besides the usual commands
// they have
//
//	makedump DIR FORMAT…   writes the dump of makedump_test.go
//	makecalls DIR FORMAT   writes the dump of makecalls_test.go
//	admin [STATE]          starts a server that answers as a recorder does
//	code N COMMAND…        runs a command that must exit with N
//	killedrecorder DIR     records five bytes in a window and is killed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CTL_SCRIPT", "1")
			e.Setenv("TZ", "UTC")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"makedump":  makedump,
			"makecalls": makecalls,
			"admin":     startAdmin,
			"code":      code,
		},
	})
}
