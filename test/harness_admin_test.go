package test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

const windowPath = "/api/v1/tcpcopy/window"

// refusedWith fails the test unless err is the answer code, with words in it.
func refusedWith(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	var refused *mosnproc.StatusError
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("got %v, want status %d", err, code)
		return
	}
	for _, word := range append(words, "") {
		if !strings.Contains(refused.Body, word) || refused.Body == "" {
			t.Errorf("%v does not say %q", refused, word)
		}
	}
}

func mustStatus(ctx context.Context, t *testing.T, m *mosn) mosnproc.Status {
	t.Helper()
	status, err := m.Admin.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return status
}
