// Package recent remembers the connections that came last, within a bound. Many
// connections of a dump have no end in their window and never appear again, so
// whoever goes through a dump of any length must forget some.
package recent

import "slices"

// MaxConnections bounds the connections that a Table remembers, whatever a file
// contains.
const MaxConnections = 1 << 16

// Table remembers a value for each connection, by a key. It keeps two generations,
// of which the older one goes when another window begins or there are too many
// connections. Finding a connection moves it to the younger one. The zero Table is
// empty and ready to use.
type Table[K comparable, V any] struct {
	young, old map[K]entry[V]
	windows    windows
}

type entry[V any] struct {
	value  V
	window string
}

// Find returns the value of a key; ok is false when there is none.
func (t *Table[K, V]) Find(key K) (v V, ok bool) {
	e, ok := t.young[key]
	if !ok {
		if e, ok = t.old[key]; ok {
			t.Add(key, e.window, e.value)
		}
	}
	return e.value, ok
}

// FindBytes is Find for the text of a key, without allocating for the text of
// every call. It does not keep key.
func FindBytes[V any](t *Table[string, V], key []byte) (v V, ok bool) {
	e, ok := t.young[string(key)]
	if !ok {
		if e, ok = t.old[string(key)]; ok {
			t.Add(string(key), e.window, e.value)
		}
	}
	return e.value, ok
}

// Add remembers the value of a connection of that window.
func (t *Table[K, V]) Add(key K, window string, v V) {
	if t.windows.begins(window) || len(t.young) >= MaxConnections/2 {
		t.turn()
	}
	t.young[key] = entry[V]{v, window}
}

// turn makes the younger generation the older one. A map that was full has its memory used
// again; to clear it for fewer would take longer than to make one.
func (t *Table[K, V]) turn() {
	if len(t.old) < MaxConnections/4 {
		t.young, t.old = map[K]entry[V]{}, t.young
		return
	}
	clear(t.old)
	t.young, t.old = t.old, t.young
}

// Remove forgets a connection, such as one that has ended.
func (t *Table[K, V]) Remove(key K) {
	delete(t.young, key)
	delete(t.old, key)
}

// windows are the windows that began last. Processes that overlap have one each. Of
// the zero value every window begins, the one without a name too.
type windows struct {
	names [4]string
	n     int // of them, how many are set
}

// begins reports whether a window is not among them, and adds it.
func (w *windows) begins(window string) bool {
	if slices.Contains(w.names[:w.n], window) {
		return false
	}
	copy(w.names[1:], w.names[:])
	w.names[0] = window
	w.n = min(w.n+1, len(w.names))
	return true
}
