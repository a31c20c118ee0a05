package mask

import "strings"

// urlSecret finds the secret in the URL whose "://" begins at colon: the password
// before an @, or a user that is a token. It may have an @ in it or, though no URL
// then, a slash. ok is false if there is none.
func urlSecret(s string, colon int) (from, to int, ok bool) {
	begin := colon + 3
	if strings.HasPrefix(s[colon:], `:\/\/`) { // JSON in JSON
		begin = colon + 5
	}
	end := begin // of what may belong to it
	at, slash, user := -1, -1, -1
	for ; end < len(s); end++ {
		switch c := s[end]; c {
		case ' ', '\t', '\r', '\n', '"', '\'', '<', '>', '`', '\v', '\f':
			goto found
		case '@':
			if slash < 0 || at < 0 {
				at = end
			}
		case '/', '?', '#':
			if slash >= 0 {
				break
			}
			if slash = end; at < 0 && (user < 0 || isPort(s[user+1:end])) {
				return 0, 0, false // an @ further on is the path's
			}
			if at >= 0 {
				goto found
			}
		case ':':
			if user < 0 {
				if slash >= 0 || at >= 0 {
					// host/path:…, or user@…: no password follows
					if at < 0 {
						return 0, 0, false
					}
					goto found
				}
				user = end
			}
		case '[', ',':
			if at < 0 && (user < 0 || c == ',' && isPort(s[user+1:end])) {
				return 0, 0, false // an IPv6 address, or several hosts
			}
		}
	}
found:
	switch {
	case at < 0:
		return 0, 0, false
	case user >= 0 && at > user:
		return user + 1, at, user+1 < at
	case slash >= 0 && slash < at:
		return 0, 0, false
	}
	if name := s[begin:at]; name != placeholder && begin < at && tokenIsUser(s[:colon]) {
		return begin, at, true
	}
	if name := s[begin:at]; len(name) >= 20 && strings.ContainsAny(name, "0123456789") && !strings.ContainsAny(name, ":.") {
		return begin, at, true // a token for a user
	}
	return 0, 0, false
}

// tokenIsUser reports whether what stands alone before the @ is a secret in URLs with the
// scheme that before ends in.
func tokenIsUser(before string) bool {
	for _, scheme := range []string{"redis", "rediss", "nats"} {
		if rest, ok := strings.CutSuffix(before, scheme); ok && (rest == "" || !isWord(rest[len(rest)-1])) {
			return true
		}
	}
	return false
}

func isPort(s string) bool { return len(s) <= 5 && isDigits(s) }

// A webhook's URL is its secret: after the host and the path, what follows is masked.
var webhooks = []string{
	"hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/", "hooks.slack-gov.com/services/",
	"discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "webhook.office.com/webhookb2/", "outlook.office.com/webhook/",
	"logic.azure.com/workflows/", "hooks.zapier.com/hooks/catch/", "open.feishu.cn/open-apis/bot/v2/hook/", "open.larksuite.com/open-apis/bot/v2/hook/",
	"chat.googleapis.com/v1/spaces/", "maker.ifttt.com/trigger/", "hooks.glip.com/webhook/", "events.pagerduty.com/integration/",
	"api.telegram.org/bot", "hc-ping.com/", "webhook.site/", "chat.zoho.com/api/v2/channelsbyname/", "integromat.com/hook/", "hook.eu1.make.com/", "hook.us1.make.com/",
}

// webhookSecret finds what is secret in the path of the webhook URL whose host begins
// at from.
func webhookSecret(s string, from int) (begin, to int, ok bool) {
	slash := strings.IndexByte(s[from:min(len(s), from+256)], '/')
	if slash < 0 {
		return 0, 0, false
	}
	host, rest := strings.ToLower(s[from:from+slash]), s[from+slash+1:]
	for _, hook := range webhooks {
		of, path, _ := strings.Cut(hook, "/")
		if !strings.HasSuffix(host, of) || !strings.HasPrefix(rest, path) {
			continue
		}
		begin := from + slash + 1 + len(path)
		end := begin
		for end < len(s) && s[end] > ' ' && strings.IndexByte("\"'<>`\\?", s[end]) < 0 {
			end++
		}
		return begin, end, begin < end
	}
	return 0, 0, false
}

// atFollows reports whether a word begins at from that an @ follows.
func atFollows(s string, from int) bool {
	end := from
	for end < len(s) && end-from < maxName && s[end] > ' ' && strings.IndexByte("@/:,;\"'<>", s[end]) < 0 {
		end++
	}
	return end < len(s) && s[end] == '@'
}

// dsnSecret finds the password before the @ at at: user:password@tcp(host), how Go's
// SQL drivers write it, or user:password@host. It looks back to from at most.
func dsnSecret(s string, from, at int) (begin, to int, ok bool) {
	if thin := strings.LastIndex(s[from:at], "oracle:thin:"); thin >= 0 { // user/password
		if slash := strings.IndexByte(s[from+thin:at], '/'); slash >= 0 && from+thin+slash+1 < at {
			return from + thin + slash + 1, at, true
		}
	}
	colon := strings.IndexByte(s[from:at], ':')
	if colon <= 0 {
		return 0, 0, false
	}
	user, rest := s[from:from+colon], s[at+1:]
	switch strings.ToLower(user) {
	case "mailto", "sip", "sips", "xmpp", "acct", "im":
		return 0, 0, false
	}
	if strings.ContainsAny(user, "/<(") || from+colon+1 == at {
		return 0, 0, false
	}
	if len(rest) > 1 && rest[0] == '/' && isLetter(rest[1]) { // user:password@/database
		return from + colon + 1, at, true
	}
	end := 0
	for end < len(rest) && end < 300 && (isDotted(rest[end])) {
		end++
	}
	if end == 0 {
		return 0, 0, false
	}
	host, after := rest[:end], byte(0)
	if end < len(rest) {
		after = rest[end]
	}
	switch host {
	case "tcp", "tcp4", "tcp6", "udp", "unix":
		if after == '(' {
			return from + colon + 1, at, true
		}
	}
	// user:password@host needs more than a name behind the @.
	if after == ':' || after == '/' || strings.Contains(host, ".") || host == "localhost" {
		return from + colon + 1, at, true
	}
	return 0, 0, false
}
