package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// steering is what the status has of the switch.
type steering struct {
	Switch struct {
		Effective    string      `json:"effective"`
		App          layerConfig `json:"app"`
		Global       layerConfig `json:"global"`
		AppChange    layerChange `json:"app_change"`
		GlobalChange layerChange `json:"global_change"`
	} `json:"switch"`
	Watch struct {
		Path  string    `json:"path"`
		Time  time.Time `json:"time"`
		Error string    `json:"error"`
	} `json:"watch"`
}

type layerConfig struct {
	Switch   string `json:"switch"`
	Interval int    `json:"interval"` // seconds
}

type layerChange struct {
	Source string    `json:"source"`
	Time   time.Time `json:"time"`
	Error  string    `json:"error"`
}

func (m *mosn) steering() (s steering) {
	m.t.Helper()
	m.decodeStatus(&s)
	return s
}

// decodeStatus asks for the status and takes from it what to has fields for.
func (m *mosn) decodeStatus(to any) {
	m.t.Helper()
	answer, err := m.Admin.Do(deadline(m.t), http.MethodGet, "/api/v1/tcpcopy", "", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := json.Unmarshal(answer, to); err != nil {
		m.t.Fatalf("%v: %s", err, answer)
	}
}

// configMap is a folder as the kubelet mounts a ConfigMap with one file: the file
// is a link through "..data", itself a link to a folder that is replaced whole.
type configMap struct {
	t       *testing.T
	dir     string
	version int
}

func newConfigMap(t *testing.T, dir string) *configMap {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &configMap{t: t, dir: dir}
	if err := os.Symlink(filepath.Join("..data", "switch.json"), c.file()); err != nil {
		t.Fatal(err)
	}
	return c
}

// file is the path that a watcher is given.
func (c *configMap) file() string { return filepath.Join(c.dir, "switch.json") }

// put replaces the content and returns when that was.
func (c *configMap) put(text string) time.Time {
	c.t.Helper()
	old, _ := os.Readlink(filepath.Join(c.dir, "..data")) // none the first time
	c.version++
	name := fmt.Sprintf("..2026_01_02_%d", c.version)
	next := filepath.Join(c.dir, "..data_tmp")
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(c.dir, name), 0o700))
	must(os.WriteFile(filepath.Join(c.dir, name, "switch.json"), []byte(text), 0o600))
	must(os.Symlink(name, next))
	swapped := time.Now()
	must(os.Rename(next, filepath.Join(c.dir, "..data")))
	if old != "" {
		must(os.RemoveAll(filepath.Join(c.dir, old)))
	}
	return swapped
}
