package mosnproc

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ResetPeak makes PeakMemory count from now on. Linux alone has it.
func (p *Process) ResetPeak() error {
	if err := os.WriteFile(p.proc("clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of process %d: %w", p.Pid(), err)
	}
	return nil
}

// PeakMemory returns the most memory that was resident at a time since the start
// or ResetPeak, in bytes: anonymous, mapped and shared pages. Linux alone has it.
func (p *Process) PeakMemory() (int64, error) {
	const field = "VmHWM:"
	text, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, fmt.Errorf("read the peak of process %d: %w", p.Pid(), err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), field)
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %q: %w", p.proc("status"), lines.Text(), err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("%s has no %s", p.proc("status"), field)
}

// proc returns the path of a file about the process in /proc.
func (p *Process) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", p.Pid(), file) }
