package tcpcopy

import (
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// metricSource makes the metrics of type "tcpcopy" in MOSN's store, which its
// statistics request and its Prometheus sink read.
type metricSource interface {
	// counter returns the counter of that name, to which n is added at each call.
	counter(name string) func(n int64)
	// gauge returns the function that sets the gauge of that name.
	gauge(name string) func(v int64)
}

// publishEvery is how often the metrics are brought up to date.
const publishEvery = time.Second

// meters brings MOSN's metrics up to date with the recorder's own counts, which need no
// shared counter on the hot path.
type meters struct {
	source   metricSource
	stopOnce sync.Once
	stop     chan struct{} // closed to end the goroutine
	done     chan struct{} // closed at its end

	mu       sync.Mutex // guards the rest
	counters map[string]func(int64)
	gauges   map[string]func(int64)
	last     map[string]uint64 // totals that the counters have reported
}

func newMeters(source metricSource) *meters {
	return &meters{source: source, stop: make(chan struct{}), done: make(chan struct{}), counters: map[string]func(int64){}, gauges: map[string]func(int64){}, last: map[string]uint64{}}
}

// count raises a counter to total.
func (m *meters) count(name string, total uint64) {
	add := m.counters[name]
	if add == nil {
		add = m.source.counter(name)
		m.counters[name] = add
	}
	if more := total - m.last[name]; total > m.last[name] {
		add(int64(more))
		m.last[name] = total
	}
}

// set sets a gauge to v.
func (m *meters) set(name string, v int64) {
	set := m.gauges[name]
	if set == nil {
		set = m.source.gauge(name)
		m.gauges[name] = set
	}
	set(v)
}

// publish brings all metrics up to date.
func (r *recorder) publish() {
	defer r.recoverPanic("publishing the metrics")
	if r.host.metrics == nil {
		return
	}
	stats, status := r.stats(), r.controller.Status()
	r.mu.Lock()
	refusals := r.refusals
	r.mu.Unlock()

	m := r.meters
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count("windows", stats.Windows)
	m.count("connections", stats.Accounts.Connections)
	m.count("write_errors", stats.Faults)
	m.count("refused_configurations", refusals)
	m.count("panics", r.panics.Load())
	m.count("portraits_lost", stats.PortraitsLost)
	m.count("index_lines_lost", stats.IndexLost)
	for name, both := range map[string]record.PerDirection{
		"records": stats.Accounts.Records, "seen_bytes": stats.Accounts.Seen,
		"written_bytes": stats.Accounts.Written, "lost_bytes": stats.Accounts.Lost,
	} {
		m.count(name+"_in", both.In)
		m.count(name+"_out", both.Out)
	}
	m.count("live_lost_bytes", stats.LiveLost)
	for reason, n := range stats.Accounts.LostBy {
		m.count("lost_bytes_"+reason, n)
	}
	m.count("windows_without_memory", stats.NoRoom)
	m.count("windows_with_less_memory", stats.Reduced)
	m.set("buffer_used_bytes", stats.Buffered)
	m.set("buffer_window_bytes", stats.Buffer)
	m.set("window_open", truth(status.Window != nil))
	m.set("guard_available", truth(status.Guard.Available))
	m.set("switch_on", truth(status.Switch.Effective == model.SwitchOn))
}

// truth returns b as a gauge's value.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// startPublishing keeps the metrics up to date from now on, until close.
func (r *recorder) startPublishing() {
	if r.host.metrics == nil {
		return
	}
	r.publishing.Do(func() { go r.meters.follow(r.publish) })
}

// follow is the goroutine of startPublishing. stopPublishing ends it.
func (m *meters) follow(publish func()) {
	defer close(m.done)
	ticker := time.NewTicker(publishEvery)
	defer ticker.Stop()
	for {
		publish() // which recovers
		select {
		case <-ticker.C:
		case <-m.stop:
			return
		}
	}
}

// stopPublishing ends the goroutine of startPublishing, if there is one, and waits
// for it. It may be called again.
func (r *recorder) stopPublishing() {
	r.publishing.Do(func() { close(r.meters.done) }) // never started, and never will be
	r.meters.stopOnce.Do(func() { close(r.meters.stop) })
	<-r.meters.done
}
