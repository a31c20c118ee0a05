package tcpcopy

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"

	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/configmanager"
)

// effectivePiece is about how much of the configuration is encoded at a time, bytes, and
// effectiveItems how many hosts of a cluster, or virtual hosts of a router.
const (
	effectivePiece = 16 << 10
	effectiveItems = 32
)

// openEffective opens MOSN's configuration in force as JSON, as configmanager.DumpJSON
// has it. DumpJSON encodes all of it at once, under MOSN's lock; this encodes it piece
// by piece while it is read, and has the lock for one piece at a time. So the pieces may
// be of different moments: the next window has what changes meanwhile.
func openEffective() (io.ReadCloser, error) {
	r := &effectiveReader{}
	r.next = r.mosn
	return r, nil
}

// effectiveReader reads the configuration in force. A step encodes one piece into buf.
type effectiveReader struct {
	buf  bytes.Buffer
	next func() error // the step that comes next; nil at the end
	err  error
}

// Read implements io.Reader.
func (r *effectiveReader) Read(b []byte) (int, error) {
	for r.buf.Len() == 0 && r.err == nil {
		if r.next == nil {
			r.err = io.EOF
			break
		}
		r.err = r.next()
	}
	if r.buf.Len() > 0 {
		return r.buf.Read(b)
	}
	return 0, r.err
}

// Close implements io.Closer.
func (r *effectiveReader) Close() error { return nil }

// put encodes v.
func (r *effectiveReader) put(v any) error {
	err := json.NewEncoder(&r.buf).Encode(v)
	if err == nil {
		r.buf.Truncate(r.buf.Len() - 1) // Encode adds a newline
	}
	return err
}

// mosn encodes what MOSN calls its own part, and begins the tables.
func (r *effectiveReader) mosn() (err error) {
	r.buf.WriteString(`{"mosn_config":`)
	configmanager.HandleMOSNConfig(configmanager.CfgTypeMOSN, func(v any) { err = r.put(v) })
	r.next = func() error { return r.begin(0) }
	return err
}

// A table is a map of MOSN's configuration. Its methods are called under MOSN's lock.
type table interface {
	field() string       // of the document
	typ() string         // as MOSN calls the map
	keys(v any) []string // sorted
	// get returns the entry of a key, nil if there is none any more. Where the entry has a
	// field with many items, it is returned without them; items returns some of them, and
	// how many there are.
	get(v any, key string) (entry any, field string, items func(from, to int) (any, int))
}

type (
	listeners struct{}
	clusters  struct{}
	routers   struct{}
)

func (listeners) field() string       { return "listener" }
func (listeners) typ() string         { return configmanager.CfgTypeListener }
func (listeners) keys(v any) []string { return sortedKeys[v2.Listener](v) }

func (listeners) get(v any, key string) (any, string, func(from, to int) (any, int)) {
	m, _ := v.(map[string]v2.Listener)
	if l, ok := m[key]; ok {
		return l, "", nil
	}
	return nil, "", nil
}

func (clusters) field() string       { return "cluster" }
func (clusters) typ() string         { return configmanager.CfgTypeCluster }
func (clusters) keys(v any) []string { return sortedKeys[v2.Cluster](v) }

func (clusters) get(v any, key string) (any, string, func(from, to int) (any, int)) {
	m, _ := v.(map[string]v2.Cluster)
	c, ok := m[key]
	if !ok {
		return nil, "", nil
	}
	hosts := c.Hosts
	if len(hosts) <= effectiveItems {
		return c, "", nil
	}
	c.Hosts = nil
	return c, "hosts", itemsOf(hosts)
}

func (routers) field() string       { return "routers" }
func (routers) typ() string         { return configmanager.CfgTypeRouter }
func (routers) keys(v any) []string { return sortedKeys[v2.RouterConfiguration](v) }

func (routers) get(v any, key string) (any, string, func(from, to int) (any, int)) {
	m, _ := v.(map[string]v2.RouterConfiguration)
	c, ok := m[key]
	if !ok {
		return nil, "", nil
	}
	hosts := c.VirtualHosts
	if len(hosts) <= effectiveItems || c.RouterConfigPath != "" {
		return c, "", nil
	}
	c.VirtualHosts = nil
	return c, "virtual_hosts", itemsOf(hosts)
}

// sortedKeys returns the keys of v, a map[string]T of MOSN's.
func sortedKeys[T any](v any) []string {
	m, _ := v.(map[string]T)
	return slices.Sorted(maps.Keys(m))
}

// itemsOf returns the items of a table's get for a long list.
func itemsOf[T any](all []T) func(from, to int) (any, int) {
	return func(from, to int) (any, int) { return all[min(from, len(all)):min(to, len(all))], len(all) }
}

// tables are the maps in the order of DumpJSON.
func tables() []table { return []table{listeners{}, clusters{}, routers{}} }

// begin begins the i-th table, or what comes behind the tables.
func (r *effectiveReader) begin(i int) error {
	if i == len(tables()) {
		return r.extends()
	}
	t := tables()[i]
	var keys []string
	configmanager.HandleMOSNConfig(t.typ(), func(v any) { keys = t.keys(v) })
	if len(keys) == 0 { // left out, as DumpJSON does
		r.next = func() error { return r.begin(i + 1) }
		return nil
	}
	r.buf.WriteString(`,"` + t.field() + `":{`)
	first := true
	r.next = func() error {
		if len(keys) == 0 {
			r.buf.WriteByte('}')
			r.next = func() error { return r.begin(i + 1) }
			return nil
		}
		return r.entries(t, &keys, &first)
	}
	return nil
}

// entries encodes entries of a table, about a piece.
func (r *effectiveReader) entries(t table, keys *[]string, first *bool) (err error) {
	configmanager.HandleMOSNConfig(t.typ(), func(v any) {
		for len(*keys) > 0 && r.buf.Len() < effectivePiece && err == nil {
			key := (*keys)[0]
			*keys = (*keys)[1:]
			entry, field, items := t.get(v, key)
			if entry == nil {
				continue // removed meanwhile
			}
			if !*first {
				r.buf.WriteByte(',')
			}
			*first = false
			if err = r.put(key); err != nil {
				return
			}
			r.buf.WriteByte(':')
			if err = r.put(entry); err != nil {
				return
			}
			if items != nil {
				r.items(t, key, field)
				return
			}
		}
	})
	return err
}

// items encodes the items of the entry that has just been encoded without them, a few at
// a time.
func (r *effectiveReader) items(t table, key, field string) {
	resume := r.next
	r.buf.Truncate(r.buf.Len() - 1) // the entry's closing brace
	if text := r.buf.Bytes(); text[len(text)-1] != '{' {
		r.buf.WriteByte(',')
	}
	r.buf.WriteString(`"` + field + `":[`)
	from := 0
	r.next = func() (err error) {
		more := false
		configmanager.HandleMOSNConfig(t.typ(), func(v any) {
			_, _, items := t.get(v, key)
			if items == nil {
				return // removed meanwhile
			}
			some, all := items(from, from+effectiveItems)
			text, marshalErr := json.Marshal(some)
			if err = marshalErr; err != nil || len(text) <= 2 {
				return
			}
			if from > 0 {
				r.buf.WriteByte(',')
			}
			r.buf.Write(text[1 : len(text)-1])
			from += effectiveItems
			more = from < all
		})
		if !more && err == nil {
			r.buf.WriteString(`]}`)
			r.next = resume
		}
		return err
	}
}

// extends begins the blocks of the extensions.
func (r *effectiveReader) extends() error {
	var all []v2.ExtendConfig
	configmanager.HandleMOSNConfig(configmanager.CfgTypeExtend, func(v any) {
		of, _ := v.([]v2.ExtendConfig)
		all = slices.Clone(of) // the elements may be replaced, their texts never change
	})
	r.next = func() error { return r.extension(all, 0) }
	return nil
}

// extension encodes the i-th block, and the end behind the last. Its text, which may be
// long, is copied piece by piece.
func (r *effectiveReader) extension(all []v2.ExtendConfig, i int) error {
	if i == len(all) {
		if i > 0 {
			r.buf.WriteByte(']')
		}
		r.buf.WriteByte('}')
		r.next = nil
		return nil
	}
	if i == 0 {
		r.buf.WriteString(`,"extends":[`)
	} else {
		r.buf.WriteByte(',')
	}
	r.buf.WriteString(`{"type":`)
	if err := r.put(all[i].Type); err != nil {
		return err
	}
	r.buf.WriteString(`,"config":`)
	rest := []byte(all[i].Config)
	if len(rest) == 0 {
		rest = []byte("null")
	}
	r.next = func() error {
		n := min(len(rest), effectivePiece)
		r.buf.Write(rest[:n])
		if rest = rest[n:]; len(rest) == 0 {
			r.buf.WriteByte('}')
			r.next = func() error { return r.extension(all, i+1) }
		}
		return nil
	}
	return nil
}
