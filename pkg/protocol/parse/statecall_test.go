package parse

import (
	"reflect"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// fill sets all fields of v to values that are not zero, and differ.
func fill(t *testing.T, v reflect.Value, n *uint64) {
	t.Helper()
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1700000000, int64(*n)).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case v.Kind() == reflect.String:
		v.SetString("\xff\x00" + string(rune('a'+*n)))
	case v.CanUint():
		v.SetUint(*n + 1000)
	case v.CanInt():
		v.SetInt(-int64(*n)) //nolint:gosec // it is small
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("a field of type %v, which this test does not know", v.Type())
	}
}

// A state has all fields of a call, also those that come one day.
func TestStateOfCall(t *testing.T) {
	var all call.Call
	n := uint64(0)
	fill(t, reflect.ValueOf(&all).Elem(), &n)
	late := all
	late.Request.First, late.Response = time.Time{}, call.Message{}
	odd := all
	odd.Response = call.Message{Missing: 1}
	odd.Code = 1<<32 - 1
	usual := call.Call{N: 1, Protocol: call.HTTP1, Method: "GET", Target: "/a?b=c", Path: "/a"}
	for _, c := range []call.Call{{}, all, late, odd, usual} {
		var b State
		b.Call(&c)
		var got call.Call
		r := NewStateReader(b)
		r.Call(&got)
		if err := r.Err(); err != nil || got != c {
			t.Errorf("%v; got\n%+v, want\n%+v", err, got, c)
		}
		for n := range b {
			r := NewStateReader(b[:n])
			r.Call(&got)
			if r.Err() == nil {
				t.Errorf("%d bytes of %d are enough", n, len(b))
			}
		}
	}
}

// What no state has is refused.
func TestStateRefused(t *testing.T) {
	var flags, path, reasons, code State
	flags.Flags(true, false, true)
	path = State("\x01\x00\x00\x00\x01/")
	path.Uint(3) // of a target with one byte
	path = append(path, make([]byte, 20)...)
	reasons.Uint(1 << 16)
	code = append(State{1, 0, 0, 0, 0, 1, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)
	code = append(code, make([]byte, 20)...)
	var c call.Call
	for name, read := range map[string]func() error{
		"flags":   func() error { r := NewStateReader(flags); var a, b bool; r.Flags(&a, &b); return r.Err() },
		"path":    func() error { r := NewStateReader(path[:len(path)-8]); r.Call(&c); return r.Err() },
		"reasons": func() error { r := NewStateReader(reasons); r.Incomplete(); return r.Err() },
		"code":    func() error { r := NewStateReader(code); r.Call(&c); return r.Err() },
	} {
		if read() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
