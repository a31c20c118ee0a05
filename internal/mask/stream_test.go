package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// A document that is read in pieces of any size is masked as one that is read at once.
func TestCopyDoesNotDependOnThePieces(t *testing.T) {
	for _, d := range documents {
		var got bytes.Buffer
		if err := Copy(&got, iotest.OneByteReader(strings.NewReader(d.in)), nil); err != nil {
			t.Fatal(err)
		}
		if want, _ := JSON([]byte(d.in)); got.String() != string(want) {
			t.Errorf("%s: in pieces %s, at once %s", d.name, &got, want)
		}
	}
}

// Large objects and arrays are masked field by field, and nothing escapes.
func TestCopyOfALargeDocument(t *testing.T) {
	filler := `"` + strings.Repeat("plain ", 5000) + `"`
	many := strings.Repeat(filler+",", 10)
	for _, doc := range []string{
		`{"a":[%[2]s1],"password":"%[1]s"}`,
		`{"password":{"x":[%[2]s"%[1]s"]}}`,
		`{"secrets":[%[2]s{"x":"%[1]s"}]}`,
		`{"name":"DB_PASS","big":[%[2]s1],"value":"%[1]s"}`,
		`{"value":"%[1]s","big":[%[2]s1],"name":"DB_PASS"}`,
		`{"cert":"x","big":[%[2]s1],"key":"%[1]s"}`,
		`{"key":"%[1]s","big":[%[2]s1],"cert":"x"}`,
		`{"kind":"Secret","big":[%[2]s1],"data":{"a":"%[1]s"}}`,
		`{"kty":"oct","big":[%[2]s1],"k":"%[1]s"}`,
		`{"args":[%[2]s"--password","%[1]s"]}`,
		`[[%[2]s1],{"token":"%[1]s"}]`,
		`{"a":{"b":{"c":[%[2]s{"apiKey":"%[1]s"}]}}}`,
		`{"token":"%[1]s %[3]s"}`,
		`{"x":"%[3]s password=%[1]s"}`,
		`{"x":"%[4]s"}`,
	} {
		big := strings.Repeat("word ", 1<<20)
		doc = fmt.Sprintf(doc, value, many, big[:3<<20], value+strings.Repeat("y", maxString))
		doc = strings.SplitN(doc, "%!(EXTRA", 2)[0]
		got, err := JSON([]byte(doc))
		if err != nil {
			t.Fatalf("%.60s: %v", doc, err)
		}
		if !json.Valid(got) || bytes.Contains(got, []byte(value)) {
			t.Errorf("%.60s … %.60s became %.60s … %s", doc, doc[len(doc)-60:], got, got[max(0, len(got)-60):])
		}
	}
}

// An error of pause ends the masking, in the middle of a long string too.
func TestCopyEndsWithPause(t *testing.T) {
	stop := errors.New("stop")
	for _, doc := range []string{quote(strings.Repeat("a=b ", 1<<20)), `[` + strings.Repeat(`"a=b",`, 100_000) + `1]`, quote(strings.Repeat("y", maxString+1))} {
		n := 0
		err := Copy(&bytes.Buffer{}, strings.NewReader(doc), func() error {
			if n++; n > 3 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || n > 10 {
			t.Errorf("%.20s: %v, after %d pauses", doc, err, n)
		}
	}
}

// A JSON document in a string may be as long as the string: it is masked with pauses, and
// without a tree of many times its length.
func TestCopyOfALargeDocumentInAString(t *testing.T) {
	for _, c := range []struct{ before, item, after string }{
		{"[", "0,", `{"password":"` + value + `"}]`},
		{"[", `{"a":1},`, `{"password":"` + value + `"}]`},
		{"config = [", `{"a":1},`, `{"password":"` + value + `"}]`},
		{`{"a":[`, `[],`, `0],"password":"` + value + `"}`},
	} {
		text := c.before + strings.Repeat(c.item, 2<<20/len(c.item)) + c.after
		var got bytes.Buffer
		pauses := 0
		before := allocated()
		err := Copy(&got, strings.NewReader(`{"x":`+quote(text)+`}`), func() error { pauses++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		// A document is read twice, so there are more pauses than that.
		if pauses < len(text)/sliceBytes {
			t.Errorf("%s%s…: %d pauses for %d bytes", c.before, c.item, pauses, len(text))
		}
		if n := allocated() - before; n > 100*uint64(len(text)) {
			t.Errorf("%s%s…: %d bytes allocated for %d", c.before, c.item, n, len(text))
		}
		var masked struct{ X string }
		if err := json.Unmarshal(got.Bytes(), &masked); err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(text, value, placeholder, 1); masked.X != want {
			t.Errorf("%s%s… became %.60s … %s", c.before, c.item, masked.X, masked.X[max(0, len(masked.X)-60):])
		}
	}
}

// allocated returns how many bytes have been allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// What has no secret in it stays as it is, with its spaces, and what is no document is
// masked as a text.
func TestLargeTextThatLooksLikeADocument(t *testing.T) {
	many := strings.Repeat(`{"a": 1}, `, 20_000)
	for in, want := range map[string]string{
		"[" + many + `{"token_ttl": 3}]`:                "",
		"x = [" + many + "0] y":                         "",
		"[" + many + "password=" + value:                "[" + many + "password=" + placeholder,
		"[" + many + `0] {"password": "` + value + `"}`: "[" + many + `0] {"password":"` + placeholder + `"}`,
		strings.Repeat("[", maxDepth+1) + many:          placeholder,
	} {
		if want == "" {
			want = in
		}
		if got := newMasker(nil).maskString(in, maxDepth); got != want {
			t.Errorf("%.20s…%s became %.60s…%s", in, in[len(in)-60:], got, got[max(0, len(got)-60):])
		}
	}
}
