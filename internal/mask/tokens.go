package mask

import "strings"

// charset says which bytes a token has after its prefix.
type charset func(c byte) bool

func isUpperDigit(c byte) bool { return 'A' <= c && c <= 'Z' || isDigit(c) }
func isAlnum(c byte) bool      { return isLetter(c) || isDigit(c) }
func isDashed(c byte) bool     { return isWord(c) || c == '-' }
func isDotted(c byte) bool     { return isDashed(c) || c == '.' }
func isHex(c byte) bool        { return isDigit(c) || 'a' <= c && c <= 'f' }
func isBase64(c byte) bool     { return isDashed(c) || c == '+' || c == '/' }

// tokenShape is a token that says so in its first letters.
type tokenShape struct {
	prefix string
	set    charset
	least  int // bytes after the prefix
	most   int // 0 means any number
}

// tokenShapes are the tokens of well-known services, as their issuers document them.
var tokenShapes = []tokenShape{
	{"AKIA", isUpperDigit, 16, 0}, {"ASIA", isUpperDigit, 16, 0}, {"ABIA", isUpperDigit, 16, 0}, {"ACCA", isUpperDigit, 16, 0}, // AWS
	{"LTAI", isAlnum, 12, 0},     // Alibaba Cloud
	{"AKID", isAlnum, 32, 0},     // Tencent Cloud
	{"AIza", isDashed, 35, 0},    // Google
	{"GOCSPX-", isDashed, 20, 0}, // Google
	{"ya29.", isDotted, 20, 0},   // Google
	{"1//0", isDashed, 30, 0},    // Google
	{"ghp_", isWord, 16, 0},      // GitHub
	{"gho_", isWord, 16, 0},      // GitHub
	{"ghu_", isWord, 16, 0},      // GitHub
	{"ghs_", isWord, 16, 0},      // GitHub
	{"ghr_", isWord, 16, 0},      // GitHub
	{"github_pat_", isWord, 20, 0},
	{"glpat-", isDotted, 16, 0}, {"gldt-", isDashed, 16, 0}, {"glrt-", isDotted, 16, 0}, {"glptt-", isDashed, 16, 0}, // GitLab
	{"glft-", isDashed, 16, 0}, {"glsoat-", isDashed, 16, 0}, {"gloas-", isDashed, 16, 0}, {"glcbt-", isDashed, 16, 0},
	{"glagent-", isDashed, 16, 0}, {"glimt-", isDashed, 16, 0}, {"glffct-", isDashed, 16, 0},
	{"xoxa-", isDashed, 8, 0}, {"xoxb-", isDashed, 8, 0}, {"xoxp-", isDashed, 8, 0}, {"xoxr-", isDashed, 8, 0}, {"xoxs-", isDashed, 8, 0}, // Slack
	{"xoxc-", isDashed, 8, 0}, {"xoxd-", isBase64, 8, 0}, {"xoxe-", isDashed, 8, 0}, {"xoxo-", isDashed, 8, 0}, {"xoxe.xoxp-", isDashed, 8, 0}, {"xapp-", isDashed, 16, 0},
	{"npm_", isAlnum, 30, 0}, {"pypi-", isDashed, 40, 0}, {"rubygems_", isHex, 32, 0}, {"dckr_pat_", isDashed, 20, 0}, {"dckr_oat_", isDashed, 20, 0},
	{"hvs.", isDotted, 20, 0}, {"hvb.", isDotted, 20, 0}, {"hvr.", isDotted, 20, 0}, // Vault
	{"sk_live_", isAlnum, 8, 0}, {"sk_test_", isAlnum, 8, 0}, {"rk_live_", isAlnum, 8, 0}, {"rk_test_", isAlnum, 8, 0}, {"whsec_", isBase64, 16, 0}, // Stripe
	{"sk-ant-", isDashed, 16, 0}, {"sk-proj-", isDashed, 16, 0}, {"sk-svcacct-", isDashed, 16, 0}, {"sk-admin-", isDashed, 16, 0}, {"sk-or-", isDashed, 16, 0}, {"sk-", isAlnum, 20, 0},
	{"SG.", isDotted, 40, 0}, {"xkeysib-", isDashed, 40, 0}, {"key-", isHex, 32, 32}, // SendGrid, Brevo, Mailgun
	{"SK", isHex, 32, 32},                                                           // Twilio
	{"dop_v1_", isHex, 32, 0}, {"doo_v1_", isHex, 32, 0}, {"dor_v1_", isHex, 32, 0}, // DigitalOcean
	{"shpat_", isAlnum, 20, 0}, {"shpss_", isAlnum, 20, 0}, {"shpca_", isAlnum, 20, 0}, {"shppa_", isAlnum, 20, 0}, // Shopify
	{"sq0atp-", isDashed, 20, 0}, {"sq0csp-", isDashed, 20, 0}, {"EAAAE", isDashed, 40, 0}, {"EAACEdEose0cBA", isAlnum, 8, 0}, // Square, Facebook
	{"AGE-SECRET-KEY-1", isUpperDigit, 20, 0}, {"AGE-SECRET-KEY-PQ-1", isUpperDigit, 20, 0},
	{"hf_", isAlnum, 30, 0}, {"lin_api_", isAlnum, 20, 0}, {"PMAK-", isDashed, 30, 0}, {"dapi", isHex, 32, 0}, {"figd_", isDashed, 20, 0},
	{"sntrys_", isBase64, 20, 0}, {"sntryu_", isAlnum, 20, 0}, {"NRAK-", isAlnum, 20, 0}, {"pscale_tkn_", isDotted, 20, 0}, {"pscale_pw_", isDotted, 20, 0},
	{"tskey-", isDashed, 12, 0}, {"glsa_", isWord, 20, 0}, {"glc_", isBase64, 30, 0}, {"fm1_", isBase64, 30, 0}, {"fm2_", isBase64, 30, 0}, {"nvapi-", isDashed, 30, 0},
	{"ops_eyJ", isDashed, 40, 0}, {"r8_", isAlnum, 30, 0}, {"gsk_", isAlnum, 30, 0}, {"xai-", isAlnum, 40, 0}, {"pul-", isHex, 40, 0}, {"secret_", isAlnum, 40, 0}, {"ntn_", isAlnum, 40, 0},
	{"pat-na1-", isDashed, 30, 0}, {"pat-eu1-", isDashed, 30, 0}, {"shippo_live_", isHex, 30, 0}, {"duffel_live_", isDashed, 30, 0}, {"FLWSECK", isDashed, 20, 0},
	{"ATATT3", isBase64, 50, 0}, {"ATCTT3", isBase64, 50, 0}, {"ATBB", isAlnum, 28, 0}, {"CCIPAT_", isWord, 20, 0}, {"bkua_", isAlnum, 30, 0}, {"sgp_", isWord, 30, 0}, {"ctx7sk-", isDashed, 20, 0},
	{"s.", isAlnum, 24, 24}, {"CFPAT-", isDashed, 30, 0}, {"amzn.mws.", isDashed, 30, 0}, {"ABSK", isBase64, 100, 0}, // Vault before 1.10, Contentful, Amazon
	{"sbp_", isHex, 32, 0}, {"sb_secret_", isDashed, 16, 0}, {"vck_", isAlnum, 24, 0}, {"rnd_", isAlnum, 28, 0}, {"rpa_", isAlnum, 30, 0},
}

// shapesByFirst are the shapes by the first byte of their prefixes.
var shapesByFirst = func() (by [256][]tokenShape) {
	for _, t := range tokenShapes {
		by[t.prefix[0]] = append(by[t.prefix[0]], t)
	}
	return by
}()

// tokenEnd returns where the token ends that begins at from, where a word begins; 0 if
// there is none.
func tokenEnd(s string, from int) int {
	for _, t := range shapesByFirst[s[from]] {
		if !strings.HasPrefix(s[from:], t.prefix) {
			continue
		}
		begin := from + len(t.prefix)
		end := begin
		for end < len(s) && t.set(s[end]) {
			end++
		}
		if n := end - begin; n >= t.least && (t.most == 0 || n <= t.most && (end == len(s) || !isWord(s[end]))) && notWords(s[begin:end]) {
			return end
		}
	}
	switch c := s[from]; {
	case c == 'e' && strings.HasPrefix(s[from:], "eyJ"):
		return webTokenEnd(s, from)
	case isDigit(c):
		return botTokenEnd(s, from)
	}
	return 0
}

// notWords reports whether a token has a digit or a capital in it, unlike words such as
// "sk-something-else".
func notWords(s string) bool {
	for i := range len(s) {
		if !('a' <= s[i] && s[i] <= 'z') && s[i] != '-' && s[i] != '_' && s[i] != '.' {
			return true
		}
	}
	return len(s) >= 16 && !strings.ContainsAny(s, "-_.")
}

// webTokenEnd finds JSON web tokens, signed (three parts) and encrypted (five).
func webTokenEnd(s string, from int) int {
	end, dots := from, 0
	for end < len(s) && isDotted(s[end]) && dots <= 4 {
		if s[end] == '.' {
			if end-from < 4 {
				return 0
			}
			if dots == 4 {
				break
			}
			dots++
		}
		end++
	}
	if dots < 2 {
		return 0
	}
	return end
}

// passwordHashEnd returns where the hash of a password ends that begins with the $ at from,
// as crypt(3) and Argon2 write it: $6$salt$hash. It returns 0 if there is none.
func passwordHashEnd(s string, from int) int {
	id := from + 1
	for id < len(s) && id-from < 20 && (isDashed(s[id])) {
		id++
	}
	if id == from+1 || id == len(s) || s[id] != '$' {
		return 0
	}
	switch name := strings.TrimRight(s[from+1:id], "abdixy0123456789"); name {
	case "", "apr", "g", "argon", "argon2", "scrypt", "pbkdf2-sha", "pbkdf", "pbkdf2", "sha", "md", "bcrypt-sha":
	default:
		return 0
	}
	end, parts := id, 0
	for end < len(s) && (isBase64(s[end]) || strings.IndexByte("$.=,", s[end]) >= 0) {
		if s[end] == '$' {
			parts++
		}
		end++
	}
	if parts < 2 || end-id < 24 {
		return 0
	}
	return end
}

// schemeHash returns where the hash is in {SSHA}hash, as LDAP writes it, whose brace is at
// from; nothing if there is none.
func schemeHash(s string, from int) (begin, end int) {
	begin = from + 1
	for begin < len(s) && begin-from < 20 && (isUpperDigit(s[begin]) || s[begin] == '-') {
		begin++
	}
	if begin == len(s) || s[begin] != '}' {
		return 0, 0
	}
	switch strings.TrimRight(s[from+1:begin], "-0123456789") {
	case "SSHA", "SHA", "SMD", "MD", "CRYPT", "PBKDF", "ARGON":
	default:
		return 0, 0
	}
	begin++
	end = begin
	for end < len(s) && (isBase64(s[end]) || strings.IndexByte("$.=,", s[end]) >= 0) {
		end++
	}
	if end-begin < 8 {
		return 0, 0
	}
	return begin, end
}

// botTokenEnd finds Telegram's bot tokens, 123456789:AA…, with 35 characters after the
// colon.
func botTokenEnd(s string, from int) int {
	end := from
	for end < len(s) && isDigit(s[end]) && end-from <= 12 {
		end++
	}
	if n := end - from; n < 8 || n > 12 || end == len(s) || s[end] != ':' {
		return 0
	}
	begin := end + 1
	end = begin
	for end < len(s) && isDashed(s[end]) {
		end++
	}
	if end-begin != 35 {
		return 0
	}
	return end
}

// isAWSSecret reports whether s looks like the secret that belongs to an AWS access
// key: 40 characters of base64 with capitals, small letters and digits.
func isAWSSecret(s string) bool {
	if len(s) != 40 {
		return false
	}
	var upper, lower, digit bool
	for i := range len(s) {
		c := s[i]
		if !isAlnum(c) && c != '+' && c != '/' {
			return false
		}
		upper = upper || 'A' <= c && c <= 'Z'
		lower = lower || 'a' <= c && c <= 'z'
		digit = digit || isDigit(c)
	}
	return upper && lower && digit
}
