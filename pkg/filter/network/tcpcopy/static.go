package tcpcopy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/ghodss/yaml"

	"mosn.io/mosn/pkg/configmanager"

	"mosn.io/tcpcopy/internal/openfile"
)

// maxYAML bounds a configuration file in YAML, bytes: it is converted as a whole, in
// many times its size. One in JSON has no limit.
const maxYAML = 2 << 20

// openStaticText opens the file that the process was started with, as it is.
func openStaticText() (io.ReadCloser, error) {
	return openfile.Open(configmanager.GetConfigPath())
}

// openStatic opens the file that the process was started with, as JSON.
func openStatic() (io.ReadCloser, error) {
	f, err := openStaticText()
	if err != nil {
		return nil, err
	}
	path := configmanager.GetConfigPath()
	if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" {
		return f, nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxYAML+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxYAML {
		return nil, fmt.Errorf("%s is YAML of more than %d bytes; a longer configuration must be JSON to have a snapshot", path, maxYAML)
	}
	converted, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, errors.New(path + " is no valid YAML") // the error would quote it
	}
	return io.NopCloser(bytes.NewReader(converted)), nil
}
