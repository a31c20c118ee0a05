package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// extension is the recorder's block among MOSN's extends:
//
//	{"type": "tcpcopy", "config": {"app": {…}, "global": {…}, "watch": "/path", "token_file": "/path"}}
type extension struct {
	layers     map[model.Layer]model.DumpConfig
	watch      string           // path of the watched file, "" for none
	token      *openfile.Source // nil for none
	tokenFault error            // why the token cannot be read now
}

// parseExtension parses the block. The error names every fault. With an error, the
// extension is for its token alone.
func parseExtension(text json.RawMessage) (*extension, error) {
	var errs []error
	var path string
	b := newBlock("", text, &errs)
	e := &extension{layers: parseLayers(b)}
	if b.value("watch", &e.watch, "the absolute path of a file") && !filepath.IsAbs(e.watch) {
		b.bad("watch", e.watch, "the absolute path of a file")
	}
	if b.value("token_file", &path, "the absolute path of a file") {
		if !filepath.IsAbs(path) {
			b.bad("token_file", tokenKind(path), "the absolute path of a file")
		} else if e.token, e.tokenFault = openToken(path); e.tokenFault != nil && !waits(e.tokenFault) {
			b.bad("token_file", tokenKind(path), fmt.Sprintf("a file that can be read: %v", pathless(e.tokenFault, path)))
		}
	}
	b.unknown()
	if err := errors.Join(errs...); err != nil {
		return e, fmt.Errorf("tcpcopy: extends: %w", err)
	}
	return e, nil
}

// tokenKind is what errors say of the value of token_file: it may be the token itself, in
// the wrong place.
func tokenKind(value string) mask.Kind {
	return mask.Kind(fmt.Sprintf("a text of %d bytes", len(value)))
}

// pathless returns why the file at path could not be opened or read, without its path.
func pathless(err error, path string) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		return fault.Err
	}
	return errors.New(strings.ReplaceAll(err.Error(), path, "it"))
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

// extend puts the block into force, whole or, but for the token file, not at all. It does
// not wait for files that do not answer.
func (r *recorder) extend(a *admin, text json.RawMessage) error {
	e, err := parseExtension(text)
	if e.token != nil {
		// Also where the block is refused: it says that loopback peers alone are not enough.
		a.token.Store(e.token)
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refuseLocked(extendsBlock, err) // for the status: MOSN writes it to its start log only
		return err
	}
	if e.tokenFault != nil {
		r.host.log.Alertf(alertKey, "token_file cannot be read now, requests that need the token are refused until it can: %v", e.tokenFault)
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
