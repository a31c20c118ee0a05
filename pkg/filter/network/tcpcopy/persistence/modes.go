package persistence

import "mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"

// Modes of the spool and its directory: payload is its owner's only.
const (
	dirMode  = logdir.DirMode
	fileMode = logdir.FileMode
)
