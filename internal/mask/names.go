package mask

import (
	"slices"
	"strings"
	"sync"
)

// class is what the name of a value says about it.
type class uint8

const (
	plain       class = iota // nothing
	descriptive              // it describes something, perhaps a secret: a path, a type, a limit
	weak                     // it may be a secret: the value decides, see weakSecret
	secret                   // it is a secret, and all below it is
	line                     // as secret; in a text the value goes on to the end of its line
)

// isSecret reports whether all values of the class are secrets.
func (c class) isSecret() bool { return c >= secret }

// vocabularies are the words that the classes of names are made of.
type vocabularies struct {
	strong     vocabulary // a secret wherever they stand in a name
	last       vocabulary // a secret as the last word of a name
	weak       vocabulary // perhaps a secret as the last word
	header     vocabulary // headers that are secrets to the end of their line
	keyOf      vocabulary // before "key": a secret
	passOf     vocabulary // before "pass", "pwd", "pw" in one word with it: a secret
	describes  vocabulary // as the last word: the name is descriptive
	amount     vocabulary // beside the plural of a secret: the name is descriptive
	neutral    vocabulary // at the end of a name: they change nothing
	harmless   vocabulary // whole names, their words joined
	harmful    vocabulary // whole names, their words joined
	suffixes   []string   // of one word: a secret
	identified vocabulary // before "id": a secret
}

// theVocabularies returns the vocabularies, which are made once.
var theVocabularies = sync.OnceValue(func() *vocabularies {
	return &vocabularies{
		strong: words(`password passwords passwd passwort passphrase passphrases passcode passcodes passkey
			secret secrets token tokens credential credentials cred creds apikey apikeys mnemonic
			privatekey privkey cookies requirepass masterauth keytab hmac pepper pswd psswd passw pword pwrd`),
		last:   words(`pass jwt bearer pwd pwds pw psk pin otp cvv cvc sk ak cookie setcookie jsessionid phpsessid sessid sessionid sid pincode userpass htpasswd pgpass sas priv`),
		weak:   words(`auth authn authentication session sessions sig signature login dockercfg`),
		header: words(`authorization proxyauthorization cookie setcookie cookie2 setcookie2`),
		keyOf: words(`private priv access api secret auth account acct shared sharedaccess signing sign signer encryption encrypt enc
			decryption decrypt crypto cryptographic cipher crypt master session client server tls ssl mtls hmac mac aes des 3des rsa ec ecdsa
			ecc ed25519 x25519 dsa dh ssh sftp pgp gpg jwt jws jwe jwk webhook hook storage service license licence activation subscription app
			application consumer bot root admin kek dek cmk wrapping wrap unwrap unseal recovery deploy preshared shared wpa wep wifi wlan
			functions function push integration vapid flask django rails passphrase password token login registration instrumentation
			ingest ingestion write read aws azure gcp google openai anthropic stripe sendgrid mailgun twilio datadog dd newrelic sentry
			github gitlab slack telegram algolia alicloud aliyun tencent qcloud huawei oss cos sse ssec ca cakey host encryptionatrest
			symmetric sym blowfish chacha20 chacha aead gcm xchacha wireguard wg peer psk snmp radius tacacs ipsec ike ntp bgp md5 tsig rndc
			erlang gossip serf consul vault transit
			csrf xsrf sas fernet fcm role unlock unlocking pay payment mch merchant sm2 sm4 salting pepper connection signature cookie nuget cert certificate`),
		passOf: words(`db database user usr username key store keystore truststore trust my mysql root admin ldap smtp imap pop mail email ftp sftp redis pg
			pgsql postgres postgresql mongo mongodb maria mariadb rabbit rabbitmq amqp mq kafka sql mssql oracle http https proxy login auth bind
			ssh vpn wifi wpa wlan sudo cert app api client server service svc conn jdbc old new master slave replica repl cluster basic
			access secret priv private web site account acc acct system sys require es elastic etcd nacos zk sasl radius snmp ssl tls jks p12 pkcs12
			sentinel guest tomcat jmx dba super su current confirm repeat backup archive zip pdf rar wp cache mem docker registry git svn nexus`),
		describes: words(`path paths file files filename filenames dir dirs directory folder location url urls uri uris endpoint endpoints host hosts port ports
			address addr name names type types kind ttl timeout timeouts expiry expires expire expiration exp lifetime age maxage duration
			length len size min max count counts limit limits policy policies version algorithm algorithms alg algo format mode field fields header headers
			prefix suffix provider providers enabled disabled required optional store stores ref refs selector issuer audience scope scopes
			interval period class status state service services env namespace mount mounts manager rotation rotate strategy template label labels title
			description desc hint hints question reset change changed validator validation generator encoder encoding decoder hasher hashing
			engine backend source sources plugin bucket buckets cache index idx endpointurl review method methods exchange
			controller operator rule rules usage regex pattern retries retry attempts level id ids lookup column table attribute attributes claim claims
			schema resource resources list role roles group groups domain samesite httponly secure required complexity strength visible
			placeholder tracker counter budget rate per filter handler middleware seconds secs sec milliseconds millis ms minutes mins hours days bytes kb mb kib mib percent helper client server request response parser reader writer processor`),
		amount: words(`max min num number total count limit per avg average sum used remaining completion prompt input output context budget rate burst
			cached reasoning generated usage stop special`),
		neutral: words(`prod production dev development test testing stage staging qa uat local old new prev previous next current default backup
			primary secondary main base64 b64 hex enc encoded encrypted plain plaintext cleartext clear value values val string str text raw data env
			input bytes pem der one two a b`),
		harmless: words(`cpupin pincpu pinning imagepullsecrets primarykey partitionkey publickey publishablekey passthrough pwdlastset oldpwd tokenize secretary
			automountserviceaccounttoken cookieless existingsecret imagepullsecret credhelpers`),
		harmful: words(`clientassertion authtok nkeyseed pincode dockerauthconfig secretid accesskeyid awsaccesskeyid sessionid secretkeyid privatekeyid ak sk aksk dockerconfigjson sessid phpsessid jsessionid
			connectsid aspnetsessionid csrf xsrf csrftoken xsrftoken kek dek masterauth requirepass oauth oauthtoken
			idrsa idecdsa ided25519 iddsa keymaterial pgpprivate sshprivate rsaprivate totpseed otpseed recoverycode recoverycodes backupcode backupcodes
			enablesecret sharedsecret rootpw adminpw bindpw userpw dbpw ldappw ftppw snmpcommunity communitystring wallet seedphrase recoveryphrase
			basicauth basicauthusers httpbasicauth authusers rocommunity rwcommunity storepass keypass storepasswd keypasswd sshpass pgpassword mysqlpwd`),
		suffixes: []string{"password", "passwords", "passwd", "passphrase", "passcode", "secret", "secrets", "token", "credential", "credentials",
			"apikey", "apikeys", "privatekey", "privkey", "secretkey", "accesskey", "authkey", "userpwd", "psk", "pwd", "pswd"},
		identified: words(`secret session sess`),
	}
})

// classOf returns the class of a name, wherever it stands.
func classOf(name string) class {
	v := theVocabularies()
	all := wordsOf(name)
	if len(all) == 0 {
		return plain
	}
	joined := strings.Join(all, "")
	switch {
	case v.header[joined]:
		return line
	case v.harmful[joined]:
		return secret
	case v.harmless[joined]:
		return descriptive
	}
	for _, foreign := range []string{"密码", "口令", "密钥", "私钥", "パスワード", "비밀번호", "пароль", "contraseña", "contrasena",
		"motdepasse", "wachtwoord", "kennwort", "senha", "parola", "lösenord", "hasło"} {
		if strings.Contains(joined, foreign) {
			return secret
		}
	}
	for i, w := range all {
		if t := strings.TrimRight(w, "0123456789"); t != "" && !v.keyOf[w] {
			all[i] = t
		}
	}
	for len(all) > 1 && (v.neutral[all[len(all)-1]] || isDigits(all[len(all)-1])) {
		all = all[:len(all)-1]
	}
	last := all[len(all)-1]
	if (last == "id" || last == "ids") && len(all) > 1 && v.identified[all[len(all)-2]] {
		return secret
	}
	if v.describes[last] || strings.HasSuffix(last, "path") || strings.HasSuffix(last, "dir") ||
		strings.HasSuffix(last, "file") && !strings.HasSuffix(last, "profile") {
		return descriptive
	}
	if v.amount.hasAny(all) && plural(last) || slices.Contains(all, "per") {
		return descriptive
	}
	if v.last[last] || v.strong.hasAny(all) || last == "pat" && len(all) > 1 || last == "material" && slices.Contains(all, "key") {
		return secret
	}
	for i, w := range all {
		if v.glued(w) {
			return secret
		}
		if (w == "key" || w == "keys" || w == "private" && i == len(all)-1) && v.keyOf[kindOfKey(all[:i])] && !v.publicKey(all[:i]) {
			return secret
		}
	}
	for _, strong := range []string{"password", "passwd", "passphrase", "passcode"} { // "PassWord"
		if strings.HasSuffix(joined, strong) {
			return secret
		}
	}
	if v.weak[last] {
		return weak
	}
	return plain
}

// kindOfKey returns the word that says what a key is of: the last one before "key" that is
// no size or algorithm, as in "aes_256_key" and "jwt_hs256_key".
func kindOfKey(before []string) string {
	for i := len(before) - 1; i >= 0; i-- {
		switch w := before[i]; {
		case isDigits(w), w == "hs", w == "rs", w == "es", w == "sha", w == "cbc", w == "ctr":
		default:
			return w
		}
	}
	return ""
}

// publicKey reports whether the words before "key" say that it is a public one.
func (v *vocabularies) publicKey(before []string) bool {
	for _, w := range before {
		if w == "public" || w == "pub" || w == "publishable" {
			return true
		}
	}
	return false
}

// glued reports whether one word is several without anything between them, such as
// "dbpass" and "hmackey".
func (v *vocabularies) glued(w string) bool {
	if w == "oldpwd" {
		return false
	}
	for _, s := range v.suffixes {
		if strings.HasSuffix(w, s) {
			return true
		}
	}
	for _, s := range []string{"pass", "pw"} {
		of, ok := strings.CutSuffix(w, s)
		for i := range of { // "db", "user" and "dbuser"
			if ok && v.passOf[of[i:]] && (i == 0 || v.passOf[of[:i]]) {
				return true
			}
		}
	}
	of, ok := strings.CutSuffix(strings.TrimSuffix(w, "s"), "key")
	if !ok || of == "" || strings.Contains(of, "public") {
		return false
	}
	if v.keyOf[of] {
		return true
	}
	for _, s := range []string{"access", "secret", "private", "shared", "signing", "encryption", "master", "hmac", "auth"} {
		if strings.HasSuffix(of, s) {
			return true
		}
	}
	return false
}

func plural(w string) bool {
	switch w {
	case "tokens", "secrets", "passwords", "keys", "credentials", "token":
		return true
	}
	return false
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
