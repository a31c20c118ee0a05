package persistence

import (
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Recorder is what code written for the first implementation reaches through
// this package.
type Recorder interface {
	// Recording tells whether a window is open and the guard lets record.
	Recording() bool
	// Schedule takes flow bytes of a port or a portrait.
	Schedule(data *model.DumpUploadDynamicConfig)
}

// standard is what the doors lead to; the registration sets it once.
var standard atomic.Pointer[Recorder]

// SetDefault makes r what IsPersistence and the work pool lead to.
func SetDefault(r Recorder) { standard.Store(&r) }

// IsPersistence tells whether records are being taken right now.
func IsPersistence() bool {
	r := standard.Load()
	return r != nil && (*r).Recording()
}

// WorkPool is the door to the process's recorder.
type WorkPool struct{}

// GetDumpWorkPoolInstance returns the door to the process's recorder.
func GetDumpWorkPoolInstance() WorkPool { return WorkPool{} }

// Schedule hands data to the process's recorder, which takes it in a window only.
// It does not keep data.
func (WorkPool) Schedule(data *model.DumpUploadDynamicConfig) {
	if r := standard.Load(); r != nil && data != nil {
		(*r).Schedule(data)
	}
}
