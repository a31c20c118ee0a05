package tcpcopy

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// authorized reports whether the caller may change state or see payload. If not, it
// has answered the request.
func (a *admin) authorized(w http.ResponseWriter, req *http.Request) bool {
	source := a.token.Load()
	if source == nil {
		return a.local(w, req)
	}
	token, code, err := readToken(source)
	if err != nil {
		refuse(w, code, err)
		return false
	}
	got := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(got), []byte(token)) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, errors.New(`a token is required: "Authorization: Bearer <token>" with the content of the configured token file`))
		return false
	}
	return true
}

// local reports whether the request is one of a loopback peer, another process on this host.
// If not, it has answered the request.
func (a *admin) local(w http.ResponseWriter, req *http.Request) bool {
	why := nonLocal(req)
	if why == "" && a.peers != nil {
		if err := a.peers.isOther(req); errors.Is(err, errManyLookers) {
			refuse(w, http.StatusServiceUnavailable, err)
			return false
		} else if err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		refuse(w, http.StatusForbidden, fmt.Errorf("only loopback peers may do this, not %s; configure token_file to allow others", why))
		return false
	}
	return true
}

// nonLocal returns why the request is not a local one: it comes from another host, or
// through a browser that a page of another site or a forged name has sent here. It
// returns "" for a local one.
func nonLocal(req *http.Request) (why string) {
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return req.RemoteAddr
	}
	if host := strings.TrimSuffix(hostName(req.Host), "."); host != "localhost" && host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Unmap().IsLoopback() {
			return fmt.Sprintf("one that asks the host %q", req.Host)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if passedOn(name) {
			return "through a browser or proxy, as the header " + name + " shows"
		}
	}
	if sitesUnknown(req) {
		return "a browser that does not say which site the request comes from (Sec-Fetch-Site)"
	}
	return ""
}

// passedOn reports whether a header is one that browsers send for a page, or that proxies
// on this host add to requests that they pass on. The name is in canonical form.
func passedOn(name string) bool {
	switch name {
	case "Origin", "Forwarded", "Via", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip":
		return true
	}
	for _, prefix := range []string{"X-Forwarded-", "X-Real-", "X-Original-", "X-Envoy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
