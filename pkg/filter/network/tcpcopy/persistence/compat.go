package persistence

import (
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Recorder is what code written for the first implementation reaches through
// this package.
type Recorder interface {
	// Recording reports whether a window is open and not paused.
	Recording() bool
	// Schedule records flow bytes of a port or a portrait. It does not keep data.
	Schedule(data *model.DumpUploadDynamicConfig)
}

// standard is the Recorder that the functions of this file call; the registration
// sets it once.
var standard atomic.Pointer[Recorder]

// SetDefault makes r the Recorder of IsPersistence and the work pool.
func SetDefault(r Recorder) { standard.Store(&r) }

// IsPersistence reports whether records are accepted right now.
func IsPersistence() bool {
	r := standard.Load()
	return r != nil && (*r).Recording()
}

// WorkPool hands data to the process's recorder.
type WorkPool struct{}

// DefaultWorkPool is the first implementation's name of WorkPool.
type DefaultWorkPool = WorkPool

// NewDefaultWorkPool returns a work pool. All of them hand data to the process's
// recorder, which has workers of its own; so the size, which is the argument, has no effect.
func NewDefaultWorkPool(_ int64) *DefaultWorkPool { return &WorkPool{} }

// GetDumpWorkPoolInstance returns the work pool of the process.
func GetDumpWorkPoolInstance() *DefaultWorkPool { return &WorkPool{} }

// Schedule hands data to the process's recorder, which records it in a window only.
// It does not keep data.
func (*WorkPool) Schedule(data *model.DumpUploadDynamicConfig) {
	if r := standard.Load(); r != nil && data != nil {
		(*r).Schedule(data)
	}
}
