package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// Configurations that are refused have secrets in the wrong places. None of them is in
// the status, which needs no token, in an answer, or in MOSN's log; what was wrong is.
func TestValuesOfRefusedFieldsAreNotShown(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	const secret = "hunter2"
	token := "gh" + "p_" + secret + "0123456789abcdefABCDEF0123456"
	cases := map[string]struct {
		config block
		names  string // what the error says
	}{
		"unknown block":       {block{"token": secret}, "token"},
		"unknown object":      {block{"credentials": block{"user": secret}}, "credentials"},
		"unknown list":        {block{"listx": []string{secret}}, "listx"},
		"unknown in output":   {block{"output": block{"Dir": secret}}, "output.Dir"},
		"unknown in buffer":   {block{"buffer": block{"key": secret}}, "buffer.key"},
		"unknown in capture":  {block{"capture": block{"apiKey": secret}}, "capture.apiKey"},
		"unknown in strategy": {block{"strategy": block{"switch": "ON", "auth": secret}}, "auth"},
		"block that is text":  {block{"output": secret}, "output"},
		"strategy of text":    {block{"strategy": secret}, "strategy"},
		"strategy of a list":  {block{"strategy": []any{secret}}, "strategy"},
		"object for a word":   {block{"guard": block{"a": secret}}, "guard"},
		"list for a word":     {block{"capture": block{"direction": []any{secret}}}, "capture.direction"},
		"object for a size":   {block{"buffer": block{"size": block{"x": secret}}}, "buffer.size"},
		"token as a word":     {block{"guard": token}, "guard"},
		"token as a switch":   {block{"strategy": block{"switch": token}}, "switch"},
		"token as a name":     {block{token: 1}, "a name of"},
		"URL as a directory":  {block{"output": block{"dir": "redis://u:" + secret + "@h"}}, "output.dir"},
		"URL as a network":    {block{"capture": block{"peers": []string{"http://u:" + secret + "@h"}}}, "capture.peers"},
		"assignment in roll":  {block{"output": block{"roll": "password=" + secret}}, "output.roll"},
		"long text":           {block{"guard": strings.Repeat(secret+" ", 100)}, "guard"},
		"header as a format":  {block{"output": block{"formats": []string{"Authorization: Basic " + secret}}}, "output.formats"},
	}
	var listeners []mosnproc.Listener
	for name, c := range cases {
		listeners = append(listeners, mosnproc.NewListener(name, freeAddress(t), mosnproc.Filter{Type: "tcpcopy", Config: c.config}, mosnproc.TCPProxy()))
	}
	listeners = append(listeners, mosnproc.NewListener("good", freeAddress(t), recorder(base), mosnproc.TCPProxy()))
	config := configOf(upstream(t, echo), listeners...)
	watched := filepath.Join(base, "switch.json")
	if err := os.WriteFile(watched, []byte(secret+" is a token"), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{"watch": watched}}}
	m := start(t, base, config)
	refused := refusals(t, m)
	for name, c := range cases {
		if !strings.Contains(refused[name], c.names) {
			t.Errorf("%s: %q does not name %s", name, refused[name], c.names)
		}
	}
	for _, body := range []string{
		`{"token":"` + secret + `"}`, `{"switch":"ON","x":{"a":"` + secret + `"}}`, `"` + secret + `"`, secret, `{"switch":["` + secret + `"]}`, `{"interval":"Bearer ` + secret + `"}`, `{"switch":"ON"} ` + secret,
	} {
		for _, layer := range []string{"app", "global"} {
			answer, err := m.Admin.Do(deadline(t), "PUT", "/api/v1/tcpcopy/config?layer="+layer, "", []byte(body))
			if err == nil {
				t.Errorf("%s is accepted: %s", body, answer)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
	for text, says := range map[string]string{
		`{"app":{"password":"` + secret + `"}}`:       "app.password is a text",
		`{"global":"` + secret + `"}`:                 "global: not a JSON object",
		`{"other":{"a":["` + secret + `"]},"app":{}}`: "other is an object",
	} {
		if err := os.WriteFile(watched, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the watched file is refused: "+says, func() bool { return strings.Contains(m.Log(), says) })
	}
	status, err := m.Admin.Do(deadline(t), "GET", "/api/v1/tcpcopy", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"the status": string(status), "the log": m.Log()} {
		for _, line := range strings.Split(text, "\n") {
			if strings.Contains(line, secret) {
				t.Errorf("%s shows a secret: %.300s", what, line)
			}
		}
	}
}

// The same of the extends block.
func TestValuesOfARefusedExtendsBlockAreNotShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for name, fields := range map[string]block{
		"token":      {"token": secret},
		"token_file": {"token_file": secret},
		"path":       {"token_file": "/" + secret},
		"app":        {"app": block{"secret": secret}},
		"watch":      {"watch": []any{secret}},
	} {
		t.Run(name, func(t *testing.T) {
			base := newBase(t)
			config := configOf(upstream(t, echo), mosnproc.NewListener("l", freeAddress(t), recorder(base), mosnproc.TCPProxy()))
			config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: fields}}
			m := start(t, base, config)
			refused := refusals(t, m)["(extends block)"]
			if refused == "" || strings.Contains(refused, secret) || !strings.Contains(refused, "valid: ") {
				t.Errorf("refused: %q", refused)
			}
			for _, line := range strings.Split(m.Log(), "\n") {
				if strings.Contains(line, secret) {
					t.Errorf("the log shows a secret: %.300s", line)
				}
			}
		})
	}
}
