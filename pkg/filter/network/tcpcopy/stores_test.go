package tcpcopy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// Operators find in the configuration what an alert of the disk names.
func TestAlertsNameFieldsAsTheConfigurationDoes(t *testing.T) {
	for want, output := range map[string]object{
		"write: output.max_total of 1048576 bytes is reached and nothing older can be removed": {"max_total": "1MiB"},
		" bytes free, output.min_free asks for ":                                               {"min_free": "99.999%"},
	} {
		h := newHarness(t, object{"guard": "off"})
		if err := os.WriteFile(filepath.Join(h.dir, layout.PortraitLog), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		log := &alertLog{testLog: testLog{t}}
		h.recorder.host.log = log
		h.factory = h.bind("test", h.into(object{"guard": "off", "output": output}))
		h.window(func() { h.connect(h.factory).receive("no room") })
		log.mu.Lock()
		if !slices.ContainsFunc(log.alerts, func(text string) bool { return strings.Contains(text, want) }) {
			t.Errorf("alerts %q, want one with %q", log.alerts, want)
		}
		log.mu.Unlock()
	}
}
