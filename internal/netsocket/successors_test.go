package netsocket

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// A process with the same command line is a successor of its parent, and the parent of it.
func TestSuccessorsHaveTheSameCommandLine(t *testing.T) {
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), childVariable+"=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	if !said.Scan() || said.Text() != "true" {
		t.Errorf("the child says %q of its parent", said.Text())
	}
	if pids := Successors(true); !slices.Contains(pids, child.Process.Pid) {
		t.Errorf("successors %v, want %d among them", pids, child.Process.Pid)
	}
	if pids := Successors(false); slices.Contains(pids, child.Process.Pid) {
		t.Errorf("%v has a child", pids)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if pids := Successors(true); len(pids) != 0 {
		t.Errorf("successors %v of a process without", pids)
	}
}
