package tcpcopy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// fromPage returns why the request may come from a page of another site in somebody's
// browser; "" when nothing says so. The server answers no preflight, so a page can neither
// read answers nor set headers, unless its name resolves to this host: it can send GET and
// POST requests without a body of JSON. Whether the caller has a token does not matter.
func fromPage(req *http.Request) (why string) {
	// Browsers send these to localhost and over TLS; a page cannot change them.
	for _, site := range req.Header.Values("Sec-Fetch-Site") {
		if site != "none" && site != "same-origin" {
			return saysHeader("Sec-Fetch-Site", site)
		}
	}
	for _, mode := range req.Header.Values("Sec-Fetch-Mode") {
		if mode != "navigate" && mode != "same-origin" && mode != "cors" { // no-cors, websocket
			return saysHeader("Sec-Fetch-Mode", mode)
		}
	}
	for _, dest := range req.Header.Values("Sec-Fetch-Dest") {
		if dest != "document" && dest != "empty" { // image, script, iframe, …
			return saysHeader("Sec-Fetch-Dest", dest)
		}
	}
	// Older ones send these, but not with each request.
	for _, name := range []string{"Origin", "Referer"} {
		for _, from := range req.Header.Values(name) {
			if u, err := url.Parse(from); err != nil || u.Host == "" || !strings.EqualFold(u.Host, req.Host) {
				return saysHeader(name, from)
			}
		}
	}
	// What an img, video, font or link element asks for.
	for _, accepted := range req.Header.Values("Accept") {
		kind, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(accepted)), "/")
		if slices.Contains([]string{"image", "audio", "video", "font"}, kind) || strings.HasPrefix(strings.ToLower(accepted), "text/css") {
			return saysHeader("Accept", accepted)
		}
	}
	// A page whose own name resolves to this host is of the same origin for its browser.
	if byBrowser(req) && !namesThisHost(req.Host) {
		return fmt.Sprintf("the request is a browser's and asks the host %q; use the address", req.Host)
	}
	return ""
}

func saysHeader(name, value string) string {
	return fmt.Sprintf("the header %s is %q", name, value)
}

// byBrowser reports whether the request has what browsers send and a page cannot keep them
// from sending.
func byBrowser(req *http.Request) bool {
	for name := range req.Header {
		// node, which is no browser, sends Sec-Fetch-Mode alone.
		if strings.HasPrefix(name, "Sec-") && name != "Sec-Fetch-Mode" || name == "Upgrade-Insecure-Requests" {
			return true
		}
	}
	agent := req.UserAgent()
	// PowerShell calls itself Mozilla and shows no pages.
	return (strings.HasPrefix(agent, "Mozilla/") || strings.HasPrefix(agent, "Opera/")) && !strings.Contains(agent, "PowerShell/")
}

// sitesUnknown reports whether the request is a browser's that does not say which site it
// comes from, as browsers before Sec-Fetch-Site, and those that reach the server at an
// address of the network.
func sitesUnknown(req *http.Request) bool {
	return byBrowser(req) && len(req.Header.Values("Sec-Fetch-Site")) == 0
}

// namesThisHost reports whether a Host header is one that no other site can have: an
// address, a name that is resolved to the loopback always, a name without a domain, or
// the host's own.
func namesThisHost(host string) bool {
	host = hostName(host)
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	return err == nil && strings.EqualFold(host, own)
}

// hostName returns a Host header without its port and brackets.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}
