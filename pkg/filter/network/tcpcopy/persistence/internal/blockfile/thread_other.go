//go:build !amd64

package blockfile

import "errors"

// startThread fails: there is no code for the thread.
func startThread() (w writer, end func(), err error) { return nil, nil, errors.ErrUnsupported }
