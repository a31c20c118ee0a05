package mask

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// value is the secret of the tables below; it occurs nowhere else.
const value = "Hunter2-xQ9"

// secretNames are names of secrets, wherever they stand.
var secretNames = strings.Fields(`
	password Password PASSWORD passwd pass passphrase pwd passcode user_password userPassword UserPassword user-password
	spring.datasource.password DB_PASS DB_PASSWORD MYSQL_PWD MYSQL_ROOT_PASSWORD POSTGRES_PASSWORD PGPASSWORD PGPASS REDIS_PASS
	dbpass dbPass userpwd userPwd userpass keypass keyPass storepass keyStorePassword trustStorePassword wpaPsk wpa_psk wpapsk psk
	bindPw bind_pw bindpw rootpw rootPw adminPw pw admin.pw LDAP_BIND_PW ldapPass smtp_pass smtpPass proxy_pass2 DB_PASS_PROD db_pass_1 password2
	hmacKey hmac_key aes_key aesKey aes256_key AES_KEY authKey auth_key authkey sk ak secretKey secret_key SecretKey accessKey access_key
	secret_access_key secretAccessKey aws_secret_access_key AWS_SECRET_ACCESS_KEY accessKeySecret access_key_secret access_key_id ALIYUN_ACCESS_KEY_SECRET
	apiKey api_key api-key x-api-key X-API-Key APIKEY apikey API_KEY apiKeys openai_api_key DATADOG_API_KEY app_key appKey appSecret app_secret
	client_secret clientSecret CLIENT_SECRET consumer_secret consumerSecret consumerKey secret Secret sharedSecret shared_secret shared_key sharedAccessKey
	token Token TOKEN access_token accessToken ACCESS_TOKEN refresh_token refreshToken id_token idToken auth_token authToken X-Auth-Token x-token
	bearerToken bot_token GITHUB_TOKEN GH_TOKEN NPM_TOKEN SLACK_TOKEN vault_token VAULT_TOKEN csrf_token session_token sessionToken personal_access_token
	private_key privateKey PRIVATE_KEY private-key privkey ssh_private_key signing_key signingKey sign_key encryption_key encryptionKey encKey
	cipher_key master_key masterKey MASTER_KEY root_key account_key AccountKey storage_key client_key server_key tls_key ssl_key session_key
	jwt_key jwtSecret JWT_SECRET jwt_secret webhook_secret webhookSecret credential credentials db_credentials creds cred passkey
	session_id sessionId JSESSIONID PHPSESSID cookie_secret cookieSecret SECRET_KEY_BASE encryption_secret otp_secret totpSecret mnemonic
	requirepass masterauth license_key licenseKey service_key kek dek seed_phrase pre_shared_key preSharedKey presharedkey
	wg_private_key deploy_key unsealKey recovery_key bot.token my.secret.value secretValue passwordValue password_hash passwordHash tokenSecret
	token_secret secret_id secretId vapidKey md5_key snmp_community oauth_token oauthToken oauth2ClientSecret X-Vault-Token X-Gitlab-Token
	Proxy-Authorization Authorization authorization X-Amz-Security-Token docker_password registryPassword sentinelPassword sasl.password
	ssl.keystore.password ssl.key.password kafka_sasl_password rabbitmq_pass etcdPassword nacosPassword zkPassword ES_PASSWORD 数据库密码 api_token_v2
	secret_store_password secretStoreKeyToken`)

// harmlessNames are names that are no secrets, whatever they have in them.
var harmlessNames = strings.Fields(`
	name type kind tokenizer tokenizer_type max_tokens maxTokens min_tokens total_tokens prompt_tokens keyspace key_space monkey turkey primaryKey primary_key
	partition_key partitionKey sort_key foreign_key routing_key hash_key range_key cache_key index_key public_key publicKey PublicKey ssh_public_key pubkey
	key_type keyType key_name key_size key_length key_usage key_id passthrough pass_through passThrough compass bypass bypass_auth_path author authority
	authors pwd_dir pwdDir passive passport_count password_file passwordFile password_path secretsFile secrets_file secret_path secretPath token_file tokenFile
	token_type tokenType token_url tokenUrl token_endpoint tokenEndpoint token_ttl tokenTTL token_timeout token_expiry secret_name secretName secretRef secret_ref
	secret_store secretStore secret_store_type secret_type secret_provider secret_version password_policy passwordPolicy password_min_length password_encoder
	private_key_path privateKeyPath private_key_file api_key_header apiKeyHeader api_key_name access_key_path auth_type authType auth_method auth_mode auth_url
	auth_provider authentication_type session_timeout sessionTimeout session_affinity_ttl cookie_name cookieName cookie_path cookie_domain cookie_ttl
	credential_type credentials_file credentials_path credentialsPath keystore_path keyStoreType keep_alive keepalive hotkey_pattern hockey
	secretary tokens_per_second rate_limit_tokens enable_password_reset password_reset_url passwd_file tokenize skip_list
	imagePullSecrets primary secondary host address port path file dir workspace description version digest sha256 checksum md5 uuid revision etag`)

// positions are the places in which a name stands with its value: %[1]s and %[2]s.
var positions = []struct{ name, doc string }{
	{"field", `{"before":"stays","%[1]s":"%[2]s","after":"remains"}`},
	{"deep field", `{"before":"stays","a":[[{"b":{"%[1]s":"%[2]s"}}]],"after":"remains"}`},
	{"pair", `{"before":"stays","env":[{"name":"%[1]s","value":"%[2]s"}],"after":"remains"}`},
	{"pair, value first", `{"before":"stays","env":[{"value":"%[2]s","name":"%[1]s"}],"after":"remains"}`},
	{"pair of key and value", `{"before":"stays","headers":[{"header":{"key":"%[1]s","value":"%[2]s"},"append":true}],"after":"remains"}`},
	{"pair with capitals", `{"before":"stays","x":[{"ParameterKey":"%[1]s","ParameterValue":"%[2]s"}],"after":"remains"}`},
	{"pair of two strings", `{"before":"stays","headers":[["%[1]s","%[2]s"]],"after":"remains"}`},
	{"environment", `{"before":"stays","Env":["%[1]s=%[2]s","HOME=/root"],"after":"remains"}`},
	{"JSON in a string", `{"before":"stays","x":"{\"b\":\"stays\",\"%[1]s\":\"%[2]s\"}","after":"remains"}`},
	{"JSON in a text", `{"before":"stays","x":"conf: {\"b\":1,\"%[1]s\":\"%[2]s\"} end","after":"remains"}`},
	{"JSON in JSON in JSON", `{"before":"stays","x":"{\"y\":\"{\\\"%[1]s\\\":\\\"%[2]s\\\"}\"}","after":"remains"}`},
	{"broken JSON", `{"before":"stays","x":"{\"%[1]s\":\"%[2]s\",\"a\":","after":"remains"}`},
	{"escaped JSON in a text", `{"before":"stays","x":"got {\\\"a\\\":1,\\\"%[1]s\\\":\\\"%[2]s\\\"}","after":"remains"}`},
	{"YAML", `{"before":"stays","x":"a: 1\n%[1]s: %[2]s\nb: stays\n","after":"remains"}`},
	{"indented YAML", `{"before":"stays","x":"a:\n  - %[1]s: \"%[2]s\"\n    b: stays\n","after":"remains"}`},
	{"YAML block", `{"before":"stays","x":"%[1]s: |\n  %[2]s\n  %[2]s\nb: stays\n","after":"remains"}`},
	{"YAML pair", `{"before":"stays","x":"env:\n- name: %[1]s\n  value: %[2]s\n- name: b\n  value: stays\n","after":"remains"}`},
	{"YAML pair, value first", `{"before":"stays","x":"env:\n- value: %[2]s\n  name: %[1]s\n","after":"remains"}`},
	{"properties", `{"before":"stays","x":"a=1\n%[1]s=%[2]s tail\nb=stays\n","after":"remains"}`},
	{"INI", `{"before":"stays","x":"[main]\n%[1]s = %[2]s tail\nb = stays\n","after":"remains"}`},
	{"TOML", `{"before":"stays","x":"%[1]s = \"%[2]s\"\nb = 1\n","after":"remains"}`},
	{"connection string", `{"before":"stays","x":"Server=h;%[1]s=%[2]s;Port=1","after":"remains"}`},
	{"spaced connection string", `{"before":"stays","x":"host=h %[1]s=%[2]s port=1","after":"remains"}`},
	{"query", `{"before":"stays","x":"http://h/p?a=1&%[1]s=%[2]s&b=2","after":"remains"}`},
	{"flag", `{"before":"stays","cmd":["run","--%[1]s","%[2]s","stays"],"after":"remains"}`},
	{"flag with =", `{"before":"stays","cmd":["run","--%[1]s=%[2]s"],"after":"remains"}`},
	{"flag in a text", `{"before":"stays","cmd":"run --%[1]s %[2]s -v","after":"remains"}`},
	{"export", `{"before":"stays","x":"#!/bin/sh\nexport %[1]s='%[2]s'\nexec run","after":"remains"}`},
	{"XML element", `{"before":"stays","x":"<a><%[1]s>%[2]s</%[1]s><b>stays</b></a>","after":"remains"}`},
	{"XML attribute", `{"before":"stays","x":"<a b=\"stays\" %[1]s=\"%[2]s\"/>","after":"remains"}`},
	{"XML property", `{"before":"stays","x":"<property name=\"%[1]s\" value=\"%[2]s\"/>","after":"remains"}`},
	{"XML entry", `{"before":"stays","x":"<entry key=\"%[1]s\">%[2]s</entry>","after":"remains"}`},
	{"Python", `{"before":"stays","x":"{'a': 1, '%[1]s': '%[2]s'}","after":"remains"}`},
	{"header", `{"before":"stays","x":"GET / HTTP/1.1\r\n%[1]s: %[2]s\r\nb: stays\r\n","after":"remains"}`},
	{"list", `{"before":"stays","%[1]s":["%[2]s","%[2]s"],"after":"remains"}`},
}

// check masks a document and looks for what must be gone and what must have stayed.
func check(t *testing.T, doc string, gone, stays []string) {
	t.Helper()
	got, err := JSON([]byte(doc))
	if err != nil {
		t.Errorf("%s: %v", doc, err)
		return
	}
	for _, s := range gone {
		if strings.Contains(string(got), s) {
			t.Errorf("%s\nstill has %q:\n%s", doc, s, got)
		}
	}
	for _, s := range stays {
		if !strings.Contains(string(got), s) {
			t.Errorf("%s\nhas lost %q:\n%s", doc, s, got)
		}
	}
	if again, err := JSON(got); err != nil || string(again) != string(got) {
		t.Errorf("%s\nbecame  %s\nmasked again %s, %v", doc, got, again, err)
	}
}

func TestNamesOfSecretsInAllPositions(t *testing.T) {
	if n := len(secretNames); n < 150 {
		t.Errorf("%d names", n)
	}
	for _, name := range secretNames {
		t.Run(name, func(t *testing.T) {
			for _, p := range positions {
				if strings.HasPrefix(p.name, "XML") && strings.ContainsAny(name, "数") {
					continue // not in XML's names here
				}
				t.Run(p.name, func(t *testing.T) {
					check(t, fmt.Sprintf(p.doc, name, value), []string{value}, []string{`"before":"stays"`, `"after":"remains"`})
				})
			}
		})
	}
}

func TestOtherNamesInAllPositions(t *testing.T) {
	if n := len(harmlessNames); n < 80 {
		t.Errorf("%d names", n)
	}
	for _, name := range harmlessNames {
		t.Run(name, func(t *testing.T) {
			for _, p := range positions {
				t.Run(p.name, func(t *testing.T) {
					doc := fmt.Sprintf(p.doc, name, "plain.Value")
					got, err := JSON([]byte(doc))
					if err != nil || string(got) != doc {
						t.Errorf("%s\nbecame %s, %v", doc, got, err)
					}
				})
			}
		})
	}
}

// tok joins the parts of an invented token, so that no scanner of this repository
// takes it for a real one.
func tok(parts ...string) string { return strings.Join(parts, "") }

const (
	alnum  = "Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3hJ6kL9nP2rS5"
	hexRun = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6071"
)

// shapes are secrets that are known by themselves, in a field with any name.
var shapes = []string{
	tok("AK", "IA", "IOSFODNN7EXAMPLE"), tok("AS", "IA", "IOSFODNN7EXAMPLE"), tok("LT", "AI", alnum[:20]), tok("AK", "ID", alnum[:32]),
	tok("AI", "za", alnum[:35]), tok("GOC", "SPX-", alnum[:28]), tok("ya", "29.", alnum[:40]),
	tok("gh", "p_", alnum[:36]), tok("gh", "o_", alnum[:36]), tok("gh", "u_", alnum[:36]), tok("gh", "s_", alnum[:36]), tok("gh", "r_", alnum[:36]),
	tok("github", "_pat_", alnum[:22], "_", alnum[:40]), tok("gl", "pat-", alnum[:20]), tok("gl", "rt-", alnum[:20]), tok("gl", "dt-", alnum[:20]), tok("gl", "ptt-", alnum[:40]),
	tok("xo", "xb-", "123456789012-1234567890123-", alnum[:24]), tok("xo", "xp-", "1-2-3-", alnum[:30]), tok("xo", "xe-1-", alnum[:30]), tok("xa", "pp-1-", alnum[:30]),
	tok("np", "m_", alnum[:36]), tok("py", "pi-", "AgEIcHlwaS5vcmc", alnum[:40]), tok("hv", "s.", alnum[:24]), tok("hv", "b.", alnum[:40]),
	tok("sk", "_live_", alnum[:24]), tok("rk", "_live_", alnum[:24]), tok("sk", "_test_", alnum[:24]), tok("wh", "sec_", alnum[:32]),
	tok("sk", "-ant-api03-", alnum), tok("sk", "-proj-", alnum), tok("sk", "-", alnum), tok("S", "G.", alnum[:22], ".", alnum[:43]), tok("S", "K", hexRun[:32]),
	tok("key", "-", hexRun[:32]), tok("dop", "_v1_", hexRun), tok("shp", "at_", hexRun[:32]), tok("sq0", "atp-", alnum[:22]), tok("AGE-SECRET-", "KEY-1", strings.Repeat("QZRY", 14)),
	tok("h", "f_", alnum[:34]), tok("lin", "_api_", alnum[:40]), tok("PM", "AK-", alnum), tok("dap", "i", hexRun[:32]), tok("fig", "d_", alnum[:40]),
	tok("sntr", "ys_", alnum), tok("pscale", "_tkn_", alnum), tok("ts", "key-", "auth-", alnum[:20]), tok("gl", "sa_", alnum[:32], "_", hexRun[:8]), tok("gs", "k_", alnum),
	tok("123456", "7890", ":AA", alnum[:33]), tok("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.", alnum), tok("eyJ", "hbGciOiJkaXIifQ..", alnum[:16], ".", alnum, ".", alnum[:22]),
	tok("dckr", "_pat_", alnum[:27]), tok("xkey", "sib-", hexRun, hexRun, "-", alnum[:16]), tok("ATA", "TT3", alnum, alnum), tok("sgp", "_", hexRun), tok("sb", "p_", hexRun[:40]),
}

func TestShapesOfSecrets(t *testing.T) {
	for _, s := range shapes {
		for _, doc := range []string{
			`{"a":"%s","b":"stays"}`, `{"a":["x","%s"],"b":"stays"}`, `{"a":"see %s for","b":"stays"}`, `{"a":"x=%s&y=1","b":"stays"}`, `{"%s":"v","b":"stays"}`,
			`{"a":"{\"x\":\"%s\"}","b":"stays"}`, `{"a":"https://h/p/%s/q","b":"stays"}`, `{"a":"k: '%s'\n","b":"stays"}`, `{"a":"<x>%s</x>","b":"stays"}`,
		} {
			check(t, fmt.Sprintf(doc, s), []string{s[len(s)-8:]}, []string{`"b":"stays"`})
		}
	}
}

// privateKeys returns private keys in the encodings that there are, and what is public
// beside them.
func privateKeys(t *testing.T) (private, public map[string][]byte) {
	t.Helper()
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: r.D}, &x509.Certificate{SerialNumber: r.D}, &r.PublicKey, r))
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, r))
	return map[string][]byte{
			"RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(r), "PRIVATE KEY": must(x509.MarshalPKCS8PrivateKey(r)), "EC PRIVATE KEY": must(x509.MarshalECPrivateKey(e)),
			"EC PKCS8": must(x509.MarshalPKCS8PrivateKey(e)), "ED25519 PRIVATE KEY": must(x509.MarshalPKCS8PrivateKey(ed)),
			"OPENSSH PRIVATE KEY": append([]byte("openssh-key-v1\x00\x00\x00\x00\x04none"), r.D.Bytes()...),
		}, map[string][]byte{
			"CERTIFICATE": cert, "CERTIFICATE REQUEST": csr, "PUBLIC KEY": must(x509.MarshalPKIXPublicKey(&r.PublicKey)), "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(&r.PublicKey),
			"EC PUBLIC KEY": must(x509.MarshalPKIXPublicKey(&e.PublicKey)), "ED PUBLIC KEY": must(x509.MarshalPKIXPublicKey(edPublic)),
		}
}

// encodings returns the ways in which DER gets into a text.
func encodings(label string, der []byte) []string {
	if !strings.Contains(label, " KEY") && !strings.Contains(label, "CERT") {
		label = "PRIVATE KEY"
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	b64 := base64.StdEncoding.EncodeToString(der)
	var lines strings.Builder
	for rest := b64; rest != ""; {
		n := min(64, len(rest))
		lines.WriteString(rest[:n] + "\n")
		rest = rest[n:]
	}
	return []string{
		text, strings.ReplaceAll(text, "\n", `\n`), strings.ReplaceAll(text, "\n", "\r\n"), "a: |\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "\nb: c",
		base64.StdEncoding.EncodeToString([]byte(text)), base64.URLEncoding.EncodeToString([]byte(text)),
		b64, base64.RawURLEncoding.EncodeToString(der), lines.String(), hex.EncodeToString(der), "x: " + b64, "data:application/x;base64," + b64,
	}
}

func TestPrivateKeysInAllEncodings(t *testing.T) {
	private, public := privateKeys(t)
	for label, der := range private {
		for i, text := range encodings(label, der) {
			doc := fmt.Sprintf(`{"a":%s,"b":"stays"}`, quote(text))
			flat := strings.NewReplacer("\n", "", "\r", "", " ", "", `\n`, "").Replace(text)
			got, err := JSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			middle := flat[len(flat)/2 : len(flat)/2+16]
			if left := strings.NewReplacer(`\n`, "", `\r`, "", " ", "", `\`, "").Replace(string(got)); strings.Contains(left, middle) || !strings.Contains(string(got), `"b":"stays"`) {
				t.Errorf("%s, encoding %d: %s", label, i, got)
			}
		}
	}
	for label, der := range public {
		for i, text := range encodings(label, der) {
			doc := fmt.Sprintf(`{"a":%s,"b":"stays"}`, quote(text))
			if got, err := JSON([]byte(doc)); err != nil || string(got) != doc {
				t.Errorf("%s, encoding %d: %s became %s, %v", label, i, doc, got, err)
			}
		}
	}
}

// documentsWithSecrets are documents of which what is in «» must go, and all else stay.
var documentsWithSecrets = []string{
	// Maps of secrets.
	`{"secrets":{"a":"«x1y»","b":"«x2y»"}}`,
	`{"kind":"Secret","metadata":{"name":"db"},"data":{"user":"«dXNlcg==»","tls.crt":"«eHh4»"},"stringData":{"a":"«x1y»"}}`,
	`{"stringData":{"a":"«x1y»"},"kind":"Secret"}`,
	`{"credentials":{"type":"basic","user":"«u1u»","anything":"«x1y»"}}`,
	`{"token":{"type":"bearer","value":"«x1y»"}}`,
	`{"auths":{"https://index.docker.io/v1/":{"auth":"«dXNlcjpwYXNz»"}}}`,
	`{"auths":{"ghcr.io":{"username":"bob","password":"«x1y»","auth":"«Ym9iOng=»"}}}`,
	`{"secret_store":{"type":"local.file","metadata":{"secretsFile":"../../configs/secret.json","token":"«x1y»"}}}`,
	`{"x":"secrets:\n  a: «x1y»\n  b: \"«x2y»\"\nc: stays\n"}`,
	`{"x":"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  user: «dXNlcg==»\n  other: «eHh4»\n"}`,
	`{"x":"[secrets]\nanything = \"«x1y»\"\nother = «x2y»\n[server]\nport = 80\n"}`,
	`{"x":"tokens:\n  - «x1y»\n  - «x2y»\nc: stays\n"}`,
	`{"x":"tokens:\n- «x1y»\n- «x2y»\nc: stays\n"}`,
	`{"x":"password:\n  «x1y»\nc: stays\n"}`,
	`{"x":"password: >-\n  «x1y»\n\n  «x2y»\nc: stays\n"}`,
	`{"x":"  password: |2\n     «x1y»\n  c: stays\n"}`,
	`{"x":"password: !vault |\n  «x1y»\nc: stays\n"}`,
	`{"x":"password: «x1y»\n  «x2y»\nc: stays\n"}`,
	`{"x":"password=«x1y»\\\n  «x2y»\nc=stays\n"}`,
	`{"x":"password = «x y z»\nc = stays\n"}`,
	`{"x":"password=«x y z»"}`,
	`{"x":"password = «x y z»"}`,
	`{"x":"db.password: «x y z»"}`,
	`{"x":"password=<<EOF\n«x1y»\nEOF\nc=stays"}`,
	`{"x":"password = \"\"\"«x1\ny2»\"\"\"\nc = 1"}`,
	`{"x":"{password: «x1y», user: bob}"}`,
	`{"x":"password:«x1y»"}`,
	`{"x":"password := \"«x1y»\""}`,
	`{"x":"conf['password'] = '«x1y»';"}`,
	`{"x":"'password' => '«x1y»',"}`,
	`{"x":"tokens: [«a1b, c2d»]\nb: stays"}`,
	// JSON web keys.
	`{"kty":"oct","k":"«abc1»","alg":"A256GCM","kid":"stays"}`,
	`{"kty":"RSA","n":"stays","e":"AQAB","d":"«abc1»","p":"«abc2»","q":"«abc3»","dp":"«abc4»","dq":"«abc5»","qi":"«abc6»","oth":[{"r":"«r1»","d":"«d1»"}]}`,
	`{"d":"«abc1»","crv":"P-256","x":"stays","y":"remains","kty":"EC"}`,
	`{"keys":[{"kty":"OKP","crv":"Ed25519","d":"«abc1»","x":"stays"}]}`,
	`{"x":"{\"kty\":\"oct\",\"k\":\"«abc1»\"}"}`,
	// Keys beside certificates.
	`{"cert":"c.crt","key":"«inline1»"}`, `{"ca":"x","cert_chain":"y","key":"«inline1»"}`,
	// Authorization.
	`{"headers":{"X-Internal-Auth":"«abc123»","X-Version":"1.2"}}`,
	`{"headers":[{"name":"X-Internal-Auth","value":"«abc123»"}]}`,
	`{"headers":{"Cookie":"«a=b; c=d»","Accept":"*/*"}}`,
	`{"headers":{"Set-Cookie":["«a=b; Path=/»"]}}`,
	`{"x":"Authorization: «Digest username=b, response=c»\nHost: h"}`,
	`{"x":"curl -H \"Authorization: «Bearer abc»\" http://h"}`, `{"x":"curl -H 'X-Api-Key: «abc1»' http://h"}`,
	`{"x":"curl -u bob:«x1y» http://h"}`, `{"args":["curl","-u","bob:«x1y»","http://h/"]}`,
	`{"x":"Bearer «abc.def»"}`, `{"x":"use basic «dXNlcjpwYXNz» now"}`, `{"x":"Token «0123456789abcdef0123»"}`,
	`{"auth":"«s3cr3tvalue»"}`, `{"proxy_auth":"«bob:x1y»"}`, `{"redis":{"auth":"«x1y2z3»"}}`,
	`{"signature":"«q83vEjRWeJCrze8SNFZ4»"}`,
	// Command lines.
	`{"args":["--password","«x1y»","--user","bob"]}`, `{"args":["--password=«x y»"]}`, `{"args":["-password","«x1y»"]}`, `{"args":["-Ddb.password=«x1y»","-jar"]}`,
	`{"args":["mysql","-p«x1y»","-uroot"]}`, `{"args":["sshpass","-p","«x1y»","ssh","h"]}`, `{"args":["redis-cli","-a","«x1y»","ping"]}`,
	`{"x":"mysql -u root -p«x1y» db"}`, `{"x":"sshpass -p «x1y» ssh h"}`, `{"x":"docker login -u bob -p «x1y» ghcr.io"}`, `{"x":"redis-cli -h h -a «x1y» ping"}`,
	`{"x":"run --token «x1y» --verbose"}`, `{"x":"run --api-key '«x1y»' --verbose"}`, `{"x":"java -Dpassword=«x1y» -jar a.jar"}`, `{"cmd":"run --password «x1y»"}`,
	`{"x":"machine h login bob password «x1y»"}`, `{"x":"port 6379\nrequirepass «x1y»\nmasterauth «x2y»\n"}`,
	`{"x":"FOO=1 DB_PASS=«x1y» run --it"}`, `{"x":"docker run -e DB_PASS=«x1y» img"}`, `{"x":"ENV DB_PASS «x1y» \nRUN x"}`[:0] + `{"x":"ENV DB_PASS=«x1y»\nRUN x"}`,
	// XML.
	`{"x":"<password>«x1y»</password>"}`, `{"x":"<ns:password type=\"plain\">«x1y»</ns:password>"}`, `{"x":"<password><![CDATA[«x1y»]]></password>"}`,
	`{"x":"<db user=\"bob\" password=\"«x1y»\"/>"}`, `{"x":"<db password='«x1y»' user='bob'/>"}`, `{"x":"<property name=\"password\" value=\"«x1y»\"/>"}`,
	`{"x":"<property value=\"«x1y»\" name=\"password\"/>"}`, `{"x":"<credentials><username>bob</username><password>«x1y»</password></credentials>"}`,
	`{"x":"<server>\n  <password>\n    «x1y»\n  </password>\n</server>"}`, `{"x":"<add key=\"ApiKey\" value=\"«x1y»\" />"}`,
	`{"x":"<bean><property name=\"password\"><value>«x1y»</value></property></bean>"}`, `{"x":"<dict><key>password</key>\n<string>«x1y»</string></dict>"}`, `{"x":"&lt;password&gt;«x1y»&lt;/password&gt;"}`,
	`{"x":"[{\\\"name\\\":\\\"DB_PASS\\\",\\\"value\\\":\\\"«x1y»\\\"}]"}`, `{"x":"{\"value\":\"«x1y»\",\"name\":\"DB_PASS\", oops"}`,
	`{"x":"curl --user bob:«x1y» http://h"}`, `{"args":["curl","--user","bob:«x1y»"]}`, `{"x":"jdbc:oracle:thin:bob/«x1y»@//h:1521/x"}`,
	// URLs.
	`{"x":"http://bob:«x1y»@h/"}`, `{"x":"redis://:«x1y»@h:6379/0"}`, `{"x":"mongodb+srv://bob:«x1y»@h1,h2/db"}`, `{"x":"amqp://bob:«a/b»@h/"}`, `{"x":"https://«0123456789abcdef0123456789abcdef»@sentry.io/1"}`,
	`{"x":"jdbc:mysql://bob:«x1y»@h/db"}`, `{"x":"bob:«x1y»@tcp(h:3306)/db"}`, `{"x":"bob:«x1y»@unix(/s)/db"}`, `{"x":"bob:«x1y»@127.0.0.1:3306/db"}`, `{"x":"postgres://bob:«x%40y»@h/db?sslmode=disable"}`,
	`{"x":"http:\\/\\/bob:«x1y»@h\\/"}`, `{"http://bob:«x1y»@h/":1}`, `{"x":"a http://bob:«x1y»@h/ b ftp://eve:«x2y»@h c"}`,
	`{"x":"https://hooks.slack.com/services/«T00/B00/XXXX»"}`, `{"x":"https://hooks.slack.com/workflows/«T00/A00/1/X»"}`, `{"x":"https://discord.com/api/webhooks/«123/abc-DEF»"}`, `{"x":"https://x.webhook.office.com/webhookb2/«a@b/IncomingWebhook/c/d»"}`,
	`{"x":"https://open.feishu.cn/open-apis/bot/v2/hook/«aaaa-bbbb»"}`, `{"x":"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=«693a91f6-7xxx-4bc4-97a0»"}`, `{"x":"https://oapi.dingtalk.com/robot/send?access_token=«abc1»"}`,
	`{"x":"https://acc.blob.core.windows.net/c?sv=2020&sp=r&sig=«abc%2Fdef%3D»&se=2025"}`, `{"x":"https://b.s3.amazonaws.com/o?X-Amz-Date=1&X-Amz-Signature=«0a1b2c3d»&X-Amz-Expires=60"}`,
	`{"x":"https://maps.googleapis.com/x?key=«abcDEF123»&q=1"}`,
	// Connection strings.
	`{"x":"Server=h;User Id=u;Password=«p w»;Port=1"}`, `{"x":"Server=h; Uid=u; Pwd=«p1w»; Port=1"}`, `{"x":"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«abc+/==»;EndpointSuffix=x"}`,
	`{"x":"Endpoint=sb://h/;SharedAccessKeyName=stays;SharedAccessKey=«abc=»"}`, `{"x":"host=h user=u password=«p1w» dbname=d"}`, `{"x":"host=h password='«p w»' dbname=d"}`,
	`{"x":"login required username=\"u\" password=\"«p w»\";"}`, `{"x":"org.apache.kafka.PlainLoginModule required username='u' password='«p1w»';"}`,
	`{"x":"jdbc:sqlserver://h;user=u;password=«p1w»;encrypt=true"}`,
	// AWS: the secret that belongs to an access key.
	`{"id":"` + tok("«AK", "IA", "IOSFODNN7EXAMPLE»") + `","other":"«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»"}`,
	`{"x":"` + tok("«AK", "IA", "IOSFODNN7EXAMPLE»") + ` «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY» us-east-1"}`,
	// Kinds of values.
	`{"pin":«1234»}`, `{"password":«12345»}`, `{"passwords":["«x1y»",{"a":"«x2y»"}]}`, `{"secret":{"a":{"b":["«x1y»"]}}}`, `{"password":"«${DB_PASSWORD:secretdefault}»"}`,
	`{"type":"service_account","private_key":"«-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n»","client_email":"a@b.c"}`,
	`{"x":"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 14\n«AAAB»\n"}`,
	`{"x":"-----BEGIN PGP PRIVATE KEY BLOCK-----\n«lQOYBF»\n-----END PGP PRIVATE KEY BLOCK-----"}`,
	`{"x":"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n«P2/56»\n---- END SSH2 ENCRYPTED PRIVATE KEY ----"}`,
	`{"x":"level=info token=«abc1» msg=stays"}`, `{"x":"{\"level\":\"info\",\"token\":\"«abc1»\"} trailing"}`,
	`{"x":"a=1, password=«x1y», b=2"}`, `{"x":"(password=«x1y»)"}`, `{"x":"cfg(user: bob, password: «x1y»)"}`,
}

func TestDocumentsWithSecrets(t *testing.T) {
	for _, d := range documentsWithSecrets {
		var gone, stays []string
		rest := d
		for {
			before, after, ok := strings.Cut(rest, "«")
			if !ok {
				break
			}
			in, after, _ := strings.Cut(after, "»")
			gone = append(gone, in)
			rest = after
			_ = before
		}
		for _, word := range []string{"stays", "remains", "bob", "local.file", "secretsFile", "../../configs/secret.json", `"type":"b`, "user", "Port=1", "dbname=d", "c = stays", "Host: h", "X-Version", "Accept", "AQAB", "ssh h", "ghcr.io", "ping", "b=2", "q=1", "se=2025", "Expires=60", "sslmode", "encrypt=true", "EndpointSuffix", "port = 80", "RUN x", "--it", "--verbose", "http://h"} {
			if strings.Contains(strings.NewReplacer("«", "", "»", "").Replace(removeMarked(d)), word) {
				stays = append(stays, word)
			}
		}
		check(t, strings.NewReplacer("«", "", "»", "").Replace(d), gone, stays)
	}
}

// removeMarked returns d without what is between « and ».
func removeMarked(d string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(d, "«")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, d, _ = strings.Cut(after, "»")
	}
}

// documentsWithout have nothing that is masked.
var documentsWithout = []string{
	`{"secret_store":{"type":"local.file","metadata":{"secretsFile":"../../configs/secret.json"}}}`,
	`{"secret_store":{"secret_demo":{"type":"local.env","metadata":[{"name":"secretsFile","value":"/etc/s.json"},{"name":"nestedSeparator","value":":"}]}}}`,
	`{"token_ttl":30,"enable_password":true,"max_tokens":4096,"password":null,"token":true,"secret":"","password_required":"true"}`,
	`{"secrets":{"type":"file","path":"/etc/secrets","ttl":30,"enabled":true}}`,
	`{"private_key":"/etc/tls/tls.key","cert_chain":"/etc/tls/tls.crt"}`, `{"cert":"c.crt","key":"tls.key"}`,
	`{"env":[{"name":"DB_PASS","valueFrom":{"secretKeyRef":{"name":"db","key":"password"}}}]}`,
	`{"env":[{"name":"HOME","value":"/root"},{"name":"PATH","value":"/bin"},{"name":"JAVA_OPTS","value":"-Xmx1g -XX:+UseG1GC"}]}`,
	`{"volumes":[{"name":"v","secret":{"secretName":"db-tls"}}]}`[:0] + `{"volumes":[{"name":"v","configMap":{"name":"db"}}]}`,
	`{"imagePullSecrets":[{"name":"regcred"}]}`, `{"password":"${DB_PASSWORD}"}`, `{"password":"$(DB_PASSWORD)"}`,
	`{"x":"http://h:8080/p?a=1#b"}`, `{"x":"https://user@h/p"}`, `{"x":"http://[::1]:80/a@b"}`, `{"x":"http://h:8080/a@b"}`, `{"x":"mailto:bob@example.com"}`, `{"x":"git@github.com:org/repo.git"}`,
	`{"x":"ssh://git@github.com/org/repo"}`, `{"x":"kafka://h1:9092,h2:9092/t"}`, `{"x":"bob@example.com:8080"}`, `{"x":"10.0.0.1:8080"}`, `{"x":"outbound|80||svc.ns.svc.cluster.local"}`,
	`{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`, `{"md5":"d41d8cd98f00b204e9800998ecf8427e"}`, `{"sha1":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}`,
	`{"id":"0c748822-2187-476a-9e9d-ed1d27c0fea0"}`, `{"image":"repo/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`, `{"commit":"6876e3d0a1b2c3d4e5f60718293a4b5c6d7e8f90"}`,
	`{"sha512":"z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="}`, `{"b":"aGVsbG8gd29ybGQsIHRoaXMgaXMganVzdCBhIHRleHQgb2Ygc29tZSBsZW5ndGg="}`,
	`{"auth":"none"}`, `{"auth":"basic"}`, `{"auth":"oauth2"}`, `{"auth":{"type":"basic","realm":"x"}}`, `{"session":{"timeout":"30s"}}`, `{"auth":false}`, `{"session":"30m"}`, `{"authentication":"optional"}`,
	`{"hash_policy":[{"cookie":{"name":"lb","path":"/","ttl":"3600s"}}]}`, `{"cookie":{"name":"lb","domain":"example.com"}}`,
	`{"key":"plain","value":"v"}`, `{"name":"x","value":"y","type":"string"}`, `{"keys":["a","b"]}`, `{"k":"v","d":"w","p":"q"}`, `{"match":{"headers":[{"name":":path","value":"/a"}]}}`,
	`{"scopes":["token","password"],"grant_types":["password","client_credentials"]}`, `{"formats":["token","session"]}`, `{"required":["password","token"]}`,
	`{"x":"the password is stored in a file"}`, `{"x":"Bearer authentication is used"}`, `{"x":"basic authentication"}`, `{"x":"no token"}`, `{"x":"token, secret and password"}`, `{"x":"a secret: see the docs"}`[:0] + `{"x":"passwords are hashed"}`,
	`{"x":"password_file=/run/x\ntoken-service:8080\nkey=value\n"}`, `{"x":"--password-file /run/x --verbose"}`, `{"args":["--token-file","/run/x","--port","80"]}`, `{"args":["-p","8080:80","-p","x"]}`, `{"x":"mkdir -p /a/b"}`, `{"x":"ssh -p 22 h"}`,
	`{"x":"secret:read token:write"}`, `{"x":"a=1&b=2"}`, `{"x":"x := 1; y == 2"}`, `{"x":"type: token\nname: secret\n"}`, `{"x":"secretName: db\nkind: Pod\n"}`, `{"x":"password:\nuser: bob\n"}`, `{"x":"password: ''\nuser: bob\n"}`,
	`{"x":"password: \"\"\nuser: bob"}`, `{"x":"password=\nuser=bob"}`, `{"x":"<password></password><user>bob</user>"}`, `{"x":"<password/>"}`, `{"x":"<a href=\"http://h/\">b</a>"}`, `{"x":"<token type=\"jwt\"/>"}`,
	`{"x":"a < b && c > d"}`, `{"x":"if (token == null) return"}`, `{"x":"sk-something-with-words-only"}`, `{"x":"hooks.slack.com"}`, `{"x":"https://hooks.slack.com/docs"}`, `{"x":"https://discord.com/channels/1"}`,
	`{"x":"eyJ"}`, `{"x":"AKIA"}`, `{"x":"npm_config_registry"}`, `{"x":"SG.something"}`, `{"x":"12345678:30"}`, `{"x":"10:30:00"}`, `{"x":"2024-05-06T08:30:00.123456789Z"}`, `{"x":"中文 a=1"}`, `{"x":"key-value"}`,
	`{"x":"-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIE\n-----END CERTIFICATE-----"}`, `{"x":"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"}`, `{"x":"-----BEGIN CERTIFICATE"}`, `{"x":"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 bob@h"}`,
	`{"jwt_authn":{"providers":{"p":{"issuer":"https://a.b/","audiences":["x"],"from_headers":[{"name":"Authorization","value_prefix":"Bearer "}]}}},"token_expire_seconds":"60"}`,
	`{"access_logs":[{"log_format":"%start_time% auth=%auth%"}],"signature":"v4","cpu_pin":"3","passes":3}`, `{"x":"SELECT token, password FROM users WHERE id = 1"}`, `{"message":"secret not found: check the store"}`,
	`{"dictionary":{"keyboard":"x","monkey":"y","passage":"z","passenger":"p","compassion":"q","tokyo":"t"}}`, `{"listeners":[{"name":"l","address":"0.0.0.0:80","log_path":"/var/log","use_original_dst":true}]}`,
	`{"lb_type":"LB_RANDOM","max_request_per_conn":1024,"conn_buffer_limit_bytes":32768}`, `{"tls_context":{"status":true,"server_name":"h","alpn":"h2","cipher_suites":"ECDHE-RSA-AES256-GCM-SHA384","min_version":"TLSv1_2"}}`,
	`{"x":"[server]\nport = 80\n[main]\na = b\n"}`, `{"x":"{\"a\": 1, \"b\": [true, null]}"}`, `{"x":"spec:\n  template:\n    data: x\n"}`, `{"x":"data:\n  a: b\nkind: ConfigMap\n"}`,
}

func TestDocumentsWithoutSecrets(t *testing.T) {
	if n := len(documentsWithout); n < 80 {
		t.Errorf("%d documents", n)
	}
	for _, d := range documentsWithout {
		if got, err := JSON([]byte(d)); err != nil || string(got) != d {
			t.Errorf("%s\nbecame %s, %v", d, got, err)
		}
	}
}
