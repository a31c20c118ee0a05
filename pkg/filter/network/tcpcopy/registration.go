package tcpcopy

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"strings"
	"sync/atomic"

	"mosn.io/api"
	mosnadmin "mosn.io/mosn/pkg/admin/server"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/configmanager"
	"mosn.io/mosn/pkg/log"
	"mosn.io/mosn/pkg/metrics"
	"mosn.io/mosn/pkg/network"
	"mosn.io/mosn/pkg/stagemanager"
	"mosn.io/mosn/pkg/types"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// The types under which configurations name the filters.
const (
	filterType         = "tcpcopy"
	portraitFilterType = "tcpcopy_portrait"
)

// process is the process's recorder. It is a variable because MOSN's registrations call
// functions without a receiver. It has no goroutine before a listener is bound.
var process = newRecorder(newRun(), mosnHost())

func init() {
	strategy.SetDefault(process.controller)
	persistence.SetDefault(process)
	api.RegisterNetwork(filterType, CreateTcpcopyFactory)
	api.RegisterStream(portraitFilterType, func(config map[string]any) (api.StreamFilterChainFactory, error) {
		return newPortraitFactory(process, config)
	})
	var succeeded atomic.Bool // a successor is being started, or goes on already
	a := &admin{recorder: process, peers: newOwnPeers(systemSockets{upgrading: succeeded.Load})}
	// MOSN's map of handlers has no lock: they are registered before it serves.
	mosnadmin.RegisterAdminHandleFunc(statusPath, a.status)
	mosnadmin.RegisterAdminHandleFunc(configPath, a.config)
	mosnadmin.RegisterAdminHandleFunc(windowPath, a.window)
	mosnadmin.RegisterAdminHandleFunc(streamPath, a.stream)
	if err := v2.RegisterParseExtendConfig(filterType, func(config json.RawMessage) error {
		return process.extend(a, config)
	}); err != nil {
		log.StartLogger.Errorf(logPrefix+"extends block: %v", err)
	}
	stagemanager.RegisterOnStateChanged(func(s stagemanager.State) {
		switch s {
		case stagemanager.StartingNewServer:
			succeeded.Store(true)
		case stagemanager.Upgrading:
			succeeded.Store(true)
			process.upgrading.Store(true)
		case stagemanager.Running: // again: the upgrade has failed
			succeeded.Store(false)
			process.upgrading.Store(false)
		case stagemanager.AfterStop:
			// The listeners are closed by then (pkg/stagemanager/stage_manager.go).
			process.close(process.upgrading.Load())
		}
	})
}

// CreateTcpcopyFactory returns the filter factory of a listener for its configuration
// block. The error names every fault of it.
func CreateTcpcopyFactory(config map[string]any) (api.NetworkFilterChainFactory, error) {
	return newFactory(process, config)
}

// UploadPortraitData records what an application reports about a piece of business:
// data as JSON, a header map as an object of its headers. It does so in a window only,
// at most once per business type and window, and returns whether it has. The port comes
// from ctx, MOSN's context of a stream, which may be nil. It does not keep data and
// never panics.
func UploadPortraitData(businessType model.BusinessType, data any, ctx context.Context) bool {
	return process.uploadPortrait(businessType, data, ctx)
}

// newRun returns a random part of connection identities for this process: six
// characters of lower-case base32.
func newRun() string {
	random := make([]byte, 5)
	_, _ = rand.Read(random) // never fails on the systems that MOSN runs on
	return strings.ToLower(base32.StdEncoding.EncodeToString(random)[:6])
}

// mosnHost returns the host of a recorder in MOSN. It watches the listeners that MOSN
// makes from now on.
func mosnHost() host {
	listeners := &openListeners{}
	network.RegisterListenerFactory(listeners.factory(network.GetListenerFactory()))
	return host{
		log:       mosnLog{},
		effective: &persistence.Source{JSON: openEffective},
		static:    &persistence.Source{JSON: openStatic, Text: openStaticText},
		roller:    globalRoller,
		listeners: filterBlocks,
		open:      listeners.has,
		metrics:   mosnMetrics{},
	}
}

// mosnLog writes to MOSN's default log, which is replaced while MOSN starts.
type mosnLog struct{}

// logPrefix begins the recorder's lines in MOSN's log.
const logPrefix = "[tcpcopy] "

func (mosnLog) Infof(format string, args ...any) { log.DefaultLogger.Infof(logPrefix+format, args...) }
func (mosnLog) Warnf(format string, args ...any) { log.DefaultLogger.Warnf(logPrefix+format, args...) }
func (mosnLog) Alertf(alert, format string, args ...any) {
	log.DefaultLogger.Alertf(alert, logPrefix+format, args...)
}

// mosnMetrics creates metrics in MOSN's store.
type mosnMetrics struct{}

func (mosnMetrics) metrics() types.Metrics {
	m, err := metrics.NewMetrics(filterType, map[string]string{filterType: "recorder"})
	if err != nil {
		m, _ = metrics.NewNilMetrics(filterType, nil)
	}
	return m
}

func (s mosnMetrics) counter(name string) func(int64) { return s.metrics().Counter(name).Inc }
func (s mosnMetrics) gauge(name string) func(int64)   { return s.metrics().Gauge(name).Update }

// globalRoller returns MOSN's roller words, "" if its default is in force.
func globalRoller() (words string) {
	configmanager.HandleMOSNConfig(configmanager.CfgTypeMOSN, func(v any) {
		if c, ok := v.(v2.MOSNConfig); ok && len(c.Servers) > 0 {
			words = c.Servers[0].GlobalLogRoller
		}
	})
	return words
}

// filterBlocks returns the filter's configuration blocks in MOSN's listeners.
func filterBlocks() map[string]map[string]any {
	blocks := map[string]map[string]any{}
	configmanager.HandleMOSNConfig(configmanager.CfgTypeListener, func(v any) {
		listeners, _ := v.(map[string]v2.Listener)
		for name, l := range listeners {
			for _, chain := range l.FilterChains {
				for _, f := range chain.Filters {
					if f.Type == filterType {
						blocks[name] = f.Config
					}
				}
			}
		}
	})
	return blocks
}
