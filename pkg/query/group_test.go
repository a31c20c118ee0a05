package query

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFieldsHaveTheirValues(t *testing.T) {
	t.Parallel()
	list := ` route,method , code,failed,latency,request.length,time,incomplete,request.headers["x-request-id"],request.headers["a,b"],response.body,trace.trace_id,request.body.length`
	want := []Value{
		{"/checkout/{id}", true}, {"POST", true}, {"503", true}, {"true", true}, {"412ms", true}, {"812", true}, {"2026-11-27T10:32:00.123456789Z", true}, {"gap,masked", true}, {"77", true}, {"", false}, {"upstream timeout", true}, {"4bf92f", true}, {"300", true},
	}
	f, err := ParseFields(list)
	if err != nil {
		t.Fatal(err)
	}
	if f.Needs() != RequestHeaders|ResponseBody {
		t.Errorf("it needs %04b", f.Needs())
	}
	if names := f.Names(); len(names) != len(want) || names[0] != "route" || names[1] != "method" || names[9] != `request.headers["a,b"]` {
		t.Errorf("names %q", names)
	}
	e := f.Evaluator()
	for range 2 {
		got, err := e.Values(nil, failedPost())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v\nwant %v", got, err, want)
		}
	}
	if got, err := e.Values(nil, unanswered()); err != nil || got[4].OK || got[10].OK || !got[0].OK {
		t.Errorf("without an answer: %v, %v", got, err)
	}
}

func TestWrongFieldsAreErrors(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"":                  `a field is expected; the fields are id, window`,
		"route,":            `a field is expected`,
		",route":            `a field is expected`,
		"route,metod":       `unknown name "metod"; did you mean method?`,
		"route, metod":      `(1:8)`,
		"lower(path)":       `"lower(path)" is no field`,
		"code + 1":          `"code + 1" is no field`,
		"request":           `"request" is no field`,
		"request.headers":   `"request.headers" is no field; the fields are id`,
		`"x"`:               `is no field`,
		"failed and failed": `is no field`,
		"5ms":               `is no field`,
		"fromJSON(path).a":  `is no field`,
		"route method":      `unexpected "method"`,
	} {
		_, err := ParseFields(list)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", list, err, want)
		}
	}
}

// Each name that an error or a completion offers is a field.
func TestNamesAreFields(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		if _, err := ParseFields(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFields(f *testing.F) {
	f.Add(`route,request.headers["a,b"]`)
	f.Fuzz(func(t *testing.T, list string) {
		fields, err := ParseFields(list)
		if err != nil {
			_ = err.Error()
			return
		}
		if values, err := fields.Evaluator().Values(nil, failedPost()); err != nil || len(values) != len(fields.Names()) {
			t.Errorf("%v, %v", values, err)
		}
	})
}
