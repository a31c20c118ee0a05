package main

// Tests compile this file into cmd/mosn: it adds, updates and removes listeners while
// MOSN runs, as xDS does (istio/istio1106/xds/conv/update.go of MOSN).

import (
	"encoding/json"
	"net/http"
	"sync"

	admin "mosn.io/mosn/pkg/admin/server"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/configmanager"
	"mosn.io/mosn/pkg/server"
)

func init() {
	var one sync.Mutex // xDS makes its changes one after the other
	admin.RegisterAdminHandleFunc("/test/listener", func(w http.ResponseWriter, req *http.Request) {
		one.Lock()
		defer one.Unlock()
		var err error
		if name := req.URL.Query().Get("remove"); name != "" {
			err = server.GetListenerAdapterInstance().DeleteListener("", name)
		} else {
			listener := &v2.Listener{}
			if err = json.NewDecoder(req.Body).Decode(listener); err == nil {
				err = server.GetListenerAdapterInstance().AddOrUpdateListener("", configmanager.ParseListenerConfig(listener, nil, nil))
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}
