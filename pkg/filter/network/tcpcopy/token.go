package tcpcopy

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
)

const (
	// maxToken bounds the token file, bytes.
	maxToken = 4 << 10
	// tokenTimeout is how long a request waits for the token file.
	tokenTimeout = time.Second
	// tokenStart is how long the start of the process waits for it.
	tokenStart = 500 * time.Millisecond
)

// openToken returns the source of the token that callers must send. The error says why the
// token cannot be read now; the source is there in any case.
func openToken(path string) (*openfile.Source, error) {
	source := openfile.NewFileSource(path, maxToken)
	_, err := source.Read(tokenStart, nil)
	return source, err
}

// waits reports whether err says that the file would have to be waited for: it may be
// another one soon.
func waits(err error) bool {
	var late *openfile.NoAnswerError
	var special *openfile.NotRegularError
	return errors.As(err, &late) || errors.As(err, &special) && special.Waits()
}

var (
	errNoToken   = errors.New("the configured token file cannot be read or is empty")
	errLateToken = errors.New("the configured token file does not answer; try again later")
)

// readToken returns the token, as the file has it now, or had it when it answered last. If
// there is none, code is the status of the answer.
func readToken(source *openfile.Source) (token string, code int, err error) {
	text, err := source.Read(tokenTimeout, nil)
	var late *openfile.NoAnswerError
	if errors.As(err, &late) {
		last, known, fault := source.Last()
		if !known {
			return "", http.StatusServiceUnavailable, errLateToken
		}
		text, err = last, fault
	}
	if token = strings.TrimSpace(string(text)); err != nil || token == "" {
		return "", http.StatusForbidden, errNoToken
	}
	return token, 0, nil
}
