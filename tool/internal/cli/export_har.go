package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/tool/internal/content"
	"mosn.io/tcpcopy/tool/internal/har"
)

// harExport makes the entries of a HAR file. They are in a store until all are known,
// because they are in the order in which the calls began.
type harExport struct {
	store   *rowStore
	n       uint64 // entries so far
	calls   int
	sockets map[socket]*socketEntry
	left    map[string]int // calls that HAR does not have, by protocol
}

// socket names a connection in a window.
type socket struct{ window, conn string }

// socketEntry is the entry of a connection of WebSocket.
type socketEntry struct {
	key   sortKey // of the next message
	order uint64  // when it was used last
}

// maxSockets bounds the connections of WebSocket that are known at the same time. The
// messages of one that is forgotten get another entry.
const maxSockets = 100_000

// everything is what HAR needs of a call.
const everything = query.RequestHeaders | query.ResponseHeaders | query.RequestBody | query.ResponseBody

// exportHAR writes calls of HTTP as HAR.
func exportHAR(ctx context.Context, e *exporting, w io.Writer) (n int, err error) {
	ctx, cancel := context.WithCancel(ctx) // frees the store
	defer cancel()
	store, err := newRowStore(ctx, "sort calls")
	if err != nil {
		return 0, err
	}
	h := &harExport{store: store, sockets: map[socket]*socketEntry{}, left: map[string]int{}}
	if err := e.calls(ctx, e.q, everything, h.add); err != nil {
		return 0, errors.Join(err, store.file.Close())
	}
	out := bufio.NewWriterSize(w, 256<<10)
	if err := h.write(out, e.t.versionRow().Version); err != nil {
		return 0, err
	}
	h.explain(e.t.stderr)
	return h.calls, out.Flush()
}

// add adds a call.
func (h *harExport) add(row *query.Call, c *calls.Call) error {
	if !har.Has(c.Protocol) {
		h.left[c.Protocol]++
		return nil
	}
	h.calls++
	k, ok := row.Content.(*content.Content)
	if !ok {
		return fmt.Errorf("%s is without its content", c.ID()) // everything asks for it
	}
	if c.Protocol == call.WebSocket {
		return h.message(c, k)
	}
	key := h.next(c)
	if har.IsUpgrade(c, k) {
		h.sockets[socket{c.Window, c.Conn}] = h.socket(key)
	}
	return h.store.add(key, func(w io.Writer) error { return har.WriteEntry(w, c, k) })
}

// next returns the key of the next entry.
func (h *harExport) next(c *calls.Call) sortKey {
	h.n++
	return sortKey{Key: har.Started(c).UnixNano(), N: h.n}
}

// message adds a message of WebSocket to the entry of its upgrade.
func (h *harExport) message(c *calls.Call, k *content.Content) error {
	of := h.sockets[socket{c.Window, c.Conn}]
	if of == nil {
		key := h.next(c)
		if err := h.store.add(key, func(w io.Writer) error { return har.WriteConnection(w, c, k) }); err != nil {
			return err
		}
		of = h.socket(key)
		h.sockets[socket{c.Window, c.Conn}] = of
	}
	of.key.Part++
	of.order = uint64(h.calls)
	return h.store.add(of.key, func(w io.Writer) error { return har.WriteMessage(w, c, k) })
}

// socket returns the entry of a key. It forgets those that have been still for longest where
// there are too many.
func (h *harExport) socket(key sortKey) *socketEntry {
	if len(h.sockets) >= maxSockets {
		var orders []uint64
		for _, s := range h.sockets {
			orders = append(orders, s.order)
		}
		slices.Sort(orders)
		for name, s := range h.sockets {
			if s.order <= orders[len(orders)/2] {
				delete(h.sockets, name)
			}
		}
	}
	return &socketEntry{key: key, order: uint64(h.calls)}
}

// write writes the file.
func (h *harExport) write(w *bufio.Writer, version string) error {
	if _, err := w.WriteString(har.Header(version)); err != nil {
		return err
	}
	first, messages := true, false
	end := func() error { // of the entry
		var err error
		if messages {
			_, err = w.WriteString(har.EndMessages)
		}
		messages = false
		if !first && err == nil {
			err = w.WriteByte('}')
		}
		return err
	}
	err := h.store.each(func(key sortKey, row *io.SectionReader) error {
		between := ""
		switch {
		case key.Part > 0 && messages:
			between = ","
		case key.Part > 0:
			between, messages = har.BeginMessages, true
		default:
			if err := end(); err != nil {
				return err
			}
			if !first {
				between = ","
			}
			first = false
		}
		if _, err := w.WriteString(between + "\n"); err != nil {
			return err
		}
		_, err := io.Copy(w, row)
		return err
	})
	if err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	_, err = w.WriteString("\n" + har.Footer)
	return err
}

// explain says which calls are not in the file.
func (h *harExport) explain(w io.Writer) {
	var names []string
	n := 0
	for name, calls := range h.left {
		names = append(names, name)
		n += calls
	}
	if n == 0 {
		return
	}
	slices.Sort(names)
	fmt.Fprintf(w, "tcpcopyctl: %s of %s left out, because HAR has HTTP alone: --as calls writes all\n", plural(n, "call"), strings.Join(names, ", "))
}
