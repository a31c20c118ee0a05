package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Ctrl-C ends the waiting for a capture, and says that it goes on.
func TestCtrlCLeavesACaptureToItself(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const id = "aa000001-0000-4000-8000-000000000001"
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			asked++
			fmt.Fprintf(w, `{"window":%q,"opened":"2026-01-02T03:04:05Z","closes":"2026-01-02T04:04:05Z","paused":"3 bytes are free\u001b"}`, id)
			return
		}
		fmt.Fprintf(w, `{"switch":{"effective":"OFF","app":{"switch":"OFF"},"global":{"switch":"OFF"}},"windows":[{"id":%q,"cause":{"trigger":"request"}}]}`, id)
		cancel()
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	code := Run(ctx, "", []string{"capture", "--admin", server.URL, "--after", "1h"}, strings.NewReader(""), &out, &errs)
	if code != 0 || out.Len() > 0 || asked != 1 {
		t.Errorf("exit code %d, %q, asked %d times", code, &out, asked)
	}
	for _, words := range []string{"capturing window aa000001, from ", `nothing is written at first: 3 bytes are free\x1b`, `the capture goes on; "tcpcopyctl windows --window aa000001" lists it`} {
		if !strings.Contains(errs.String(), words) {
			t.Errorf("%q does not say %q", &errs, words)
		}
	}
}
