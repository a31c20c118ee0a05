package tcpcopy_test

import (
	"context"
	"testing"

	"mosn.io/api"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	_type "mosn.io/tcpcopy/pkg/filter/network/tcpcopy/type"
)

// What Layotto's packages of these names offer, with their types, as of August 2025. A
// name that is missing or has another type does not compile. README.md lists what is
// left out.
var (
	_ func(map[string]any) (api.NetworkFilterChainFactory, error) = tcpcopy.CreateTcpcopyFactory
	_ func(_type.BusinessType, any, context.Context) bool         = tcpcopy.UploadPortraitData
	_ error                                                       = tcpcopy.ErrInvalidConfig

	_ func() bool       = strategy.IsAvaliable
	_ func(string) bool = strategy.UpdateAppDumpConfig
	_ func(string) bool = strategy.UpdateGlobalDumpConfig

	_ func() bool                              = persistence.IsPersistence
	_ func() *persistence.DefaultWorkPool      = persistence.GetDumpWorkPoolInstance
	_ func(int64) *persistence.DefaultWorkPool = persistence.NewDefaultWorkPool
	_ interface {
		Schedule(*model.DumpUploadDynamicConfig)
	} = persistence.GetDumpWorkPoolInstance()
	_ func(string, _type.BusinessType, string, []byte, string) *model.DumpUploadDynamicConfig = model.NewDumpUploadDynamicConfig

	_ = model.DumpConfig{Switch: "ON", Interval: 30, Duration: 1, CpuMaxRate: 80.5, MemMaxRate: 70.5}
	_ = []_type.BusinessType{_type.RPC, _type.CONFIGURATION, _type.STATE}
	_ = []string{model.AlertDumpKey, model.LogDumpKey}
)

// Without a listener the functions are harmless, as in a host that does not use the
// filter.
func TestTheFunctionsOfLayottoAreHarmlessWithoutAListener(t *testing.T) {
	if tcpcopy.UploadPortraitData(_type.STATE, map[string]int{"a": 1}, nil) || persistence.IsPersistence() {
		t.Error("something is recorded")
	}
	persistence.GetDumpWorkPoolInstance().Schedule(model.NewDumpUploadDynamicConfig("", _type.RPC, "1", []byte("x"), "{}"))
	persistence.GetDumpWorkPoolInstance().Schedule(nil)
}
