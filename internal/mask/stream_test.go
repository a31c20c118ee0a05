package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
