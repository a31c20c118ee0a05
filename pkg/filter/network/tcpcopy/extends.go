package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mosn.io/tcpcopy/internal/mask"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// extension is the recorder's block among MOSN's extends:
//
//	{"type": "tcpcopy", "config": {"app": {…}, "global": {…}, "watch": "/path", "token_file": "/path"}}
type extension struct {
	layers    map[model.Layer]model.DumpConfig
	watch     string // path of the watched file, "" for none
	tokenFile string
}

// parseExtension parses the block. The error names every fault.
func parseExtension(text json.RawMessage) (*extension, error) {
	var errs []error
	b := newBlock("", text, &errs)
	e := &extension{layers: parseLayers(b)}
	if b.value("watch", &e.watch, "the absolute path of a file") && !filepath.IsAbs(e.watch) {
		b.bad("watch", e.watch, "the absolute path of a file")
	}
	if b.value("token_file", &e.tokenFile, "the absolute path of a file") {
		if !filepath.IsAbs(e.tokenFile) {
			b.bad("token_file", tokenKind(e.tokenFile), "the absolute path of a file")
		} else if _, err := readSmall(e.tokenFile, maxToken); err != nil {
			b.bad("token_file", tokenKind(e.tokenFile), fmt.Sprintf("a file that can be read: %v", pathless(err)))
		}
	}
	b.unknown()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tcpcopy: extends: %w", err)
	}
	return e, nil
}

// tokenKind is what errors say of the value of token_file: it may be the token itself, in
// the wrong place.
func tokenKind(value string) mask.Kind {
	return mask.Kind(fmt.Sprintf("a text of %d bytes", len(value)))
}

// pathless returns why a file could not be opened or read, without its path.
func pathless(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return errors.New("it cannot be read, or is too long")
}

// parseLayers removes and returns the dump configurations of the layers that b has.
func parseLayers(b *block) map[model.Layer]model.DumpConfig {
	layers := map[model.Layer]model.DumpConfig{}
	for _, layer := range []model.Layer{model.LayerApp, model.LayerGlobal} {
		text := b.raw(string(layer))
		if text == nil {
			continue
		}
		config, err := model.ParseDumpConfig(text, layer)
		if err != nil {
			*b.errs = append(*b.errs, inField(string(layer), err)...)
			continue
		}
		layers[layer] = config
	}
	return layers
}

// extend puts the block into force, whole or not at all.
func (r *recorder) extend(a *admin, text json.RawMessage) error {
	e, err := parseExtension(text)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refuseLocked(extendsBlock, err) // for the status: MOSN writes it to its start log only
		return err
	}
	if e.tokenFile != "" {
		a.tokenFile.Store(&e.tokenFile)
	}
	if err := r.setLayers(e.layers, "extends block"); err != nil {
		return err
	}
	if e.watch != "" {
		r.follow(e.watch)
	}
	return nil
}

// extendsBlock is the listener's name of a refused extends block in the status.
const extendsBlock = "(extends block)"

// setLayers puts checked dump configurations into force.
func (r *recorder) setLayers(layers map[model.Layer]model.DumpConfig, source string) error {
	var errs []error
	for _, layer := range []model.Layer{model.LayerGlobal, model.LayerApp} {
		if config, ok := layers[layer]; ok {
			errs = append(errs, r.controller.Set(layer, config, source))
		}
	}
	return errors.Join(errs...)
}

// follow watches the file at path instead of the one before, if any.
func (r *recorder) follow(path string) {
	w := startWatch(r, path, watchPoll)
	r.mu.Lock()
	old := r.watch
	r.watch = w
	closed := r.closed
	r.mu.Unlock()
	if old != nil {
		old.close()
	}
	if closed {
		w.close()
	}
}
