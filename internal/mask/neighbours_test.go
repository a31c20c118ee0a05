package mask

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// neighboursWithSecrets are documents as people write them who do not know the table of
// names. What is between « and » has to go, what is between ‹ and › has to stay.
var neighboursWithSecrets = []string{
	`{"csrfKey": "«hunter2»"}`, `{"sas_key": "«hunter2»"}`, `{"gh_pat": "«hunter2»"}`, `{"GITLAB_PAT": "«hunter2»"}`, `{"contraseña": "«hunter2»"}`,
	`{"senha": "«hunter2»"}`, `{"mot_de_passe": "«hunter2»"}`, `{"parola": "«hunter2»"}`, `{"wachtwoord": "«hunter2»"}`, `{"otp_seed": "«hunter2»"}`,
	`{"totpSeed": "«hunter2»"}`, `{"recoveryCode": "«hunter2»"}`, `{"backup_code": "«hunter2»"}`, `{"pepper": "«hunter2»"}`,
	`{"fernetKey": "«hunter2»"}`, `{"FERNET_KEY": "«hunter2»"}`, `{"hmac": "«hunter2»"}`, `{"connectionKey": "«hunter2»"}`,
	`{"service_role_key": "«hunter2»"}`, `{"fcmKey": "«hunter2»"}`, `{"id_rsa": "«hunter2»"}`, `{"pgpPrivate": "«hunter2»"}`,
	`{"unlockKey": "«hunter2»"}`, `{"kmsKeyMaterial": "«hunter2»"}`, `{"sm4Key": "«hunter2»"}`, `{"paykey": "«hunter2»"}`, `{"mchKey": "«hunter2»"}`,
	`{"mch_key": "«hunter2»"}`, `{"env": [{"envName": "DB_PASS", "envValue": "«hunter2»"}, {"envName": "LOG_LEVEL", "envValue": "‹debug›"}]}`,
	`{"env": [{"attr": "DB_PASS", "content": "«hunter2»"}, {"attr": "LOG_LEVEL", "content": "‹debug›"}]}`,
	`{"match":{"headers":[{"name":"x-auth","exact_match":"«hunter2»"}]}}`,
	`{"match":{"headers":[{"name":"x-auth","string_match":{"exact":"«hunter2»"}}]}}`,
	`{"auths":{"registry.example.com":{"username":"u","password":"«hunter2»","identitytoken":"«abcdefg»","registrytoken":"«hijk»"}},"credHelpers":{"x":"‹ecr-login›"},"credsStore":"‹desktop›"}`,
	`{"x":"- {name: DB_PASS, value: «hunter2»}\n- {name: LOG, value: ‹debug›}"}`, `{"x":"spring.datasource.password «hunter2»\nspring.port ‹80›\n"}`,
	`{"x":"setx DB_PASS \"«hunter2»\""}`, `{"x":"ENV DB_PASS «hunter2»\nENV PORT ‹80›\n"}`,
	`{"x":"proxy_set_header X-Internal-Auth «hunter2»;\nlisten ‹80›;\n"}`,
	`{"x":"ssl_certificate_key ‹/etc/ssl/k.pem›;\nsecure_link_secret «hunter2»;\n"}`, `{"x":"auth_basic_password «hunter2»;"}`,
	`{"x":"stats auth «admin:hunter2»\n"}`, `{"x":"rocommunity «s3cr3tcom»\n"}`, `{"x":"bindpw «hunter2»\nuri ‹ldap://x›\n"}`,
	`{"x":"rootpw    «{SSHA}abcdef»\n"}`, `{"x":"LDAPBindPassword «hunter2»"}`, `{"x":"AuthLDAPBindPassword \"«hunter2»\""}`,
	`{"x":": PSK \"«hunter2»\"\n"}`, `{"x":"bob:«hun@ter2»@tcp(‹127.0.0.1:3306›)/x"}`, `{"x":"bob:«hunter2»@/x"}`,
	`{"x":"rediss://«hunter2»@‹cache:6379/0›"}`, `{"x":"nats://«s3crettok»@‹n:4222›"}`, `{"x":"curl -ubob:«hunter2» ‹https://x/›"}`,
	`{"x":"curl --user='bob:«hunter2»' ‹https://x/›"}`, `{"x":"curl -U bob:«hunter2» ‹https://x/›"}`, `{"x":"mysql -uroot -p«SECRET» -h ‹db›"}`,
	`{"x":"sqlcmd -U sa -P «hunter2» -S ‹h›"}`, `{"x":"mongo -u bob -p «hunter2» ‹h›"}`,
	`{"x":"aws configure set aws_secret_access_key «wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY»"}`, `{"args":["-p","«hunter2»"],"command":["sshpass"]}`,
	`{"command":["mysql","-uroot","-p«SECRET»"]}`, `{"x":"<property><name>db.password</name><value>«x7»</value></property>"}`,
	`{"x":"<entry><string>password</string><string>«x7»</string></entry>"}`, `{"basic_auth":{"alice":"«k1k1»"}}`,
	`{"basic_auth_users":["alice:«k1k1»"]}`, `{"x": "«s.abcdefghijklmnopqrstuvwx»"}`, `{"x":"see it: «s.abcdefghijklmnopqrstuvwx», ‹ok›"}`,
	`{"x": "«ABSKQmVkcm9ja0FQSUtleS1abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ABCDEF»"}`,
	`{"x":"see it: «ABSKQmVkcm9ja0FQSUtleS1abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ABCDEF», ‹ok›"}`,
	`{"x": "«CFPAT-abcdefghijklmnopqrstuvwxyz0123456789abcdefg»"}`, `{"x":"see it: «CFPAT-abcdefghijklmnopqrstuvwxyz0123456789abcdefg», ‹ok›"}`,
	`{"x": "«amzn.mws.4ea38b7b-f563-7709-4bae-87aea2deadbe»"}`, `{"x":"see it: «amzn.mws.4ea38b7b-f563-7709-4bae-87aea2deadbe», ‹ok›"}`,
	`{"x":"password%3D«hunter2»%26port%3D‹80›"}`, `{"x":"define(\"DB_PASSWORD\", \"«hunter2»\");"}`, `{"x":"os.Setenv(\"DB_PASSWORD\", \"«hunter2»\")"}`,
	`{"x":"password \"«hunter2»\"\nport ‹80›"}`, `{"x":"ALTER USER bob IDENTIFIED BY '«hunter2»';"}`,
	`{"x":"CREATE USER bob WITH PASSWORD '«hunter2»';"}`, `{"x":"GRANT ALL ON x TO bob IDENTIFIED BY '«hunter2»'"}`, `{"x":"AUTH «hunter2»\r\n"}`,
	`{"data":"«eyJwYXNzd29yZCI6Imh1bnRlcjIifQ==»"}`, `{"userData":"«IyEvYmluL3NoCmV4cG9ydCBEQl9QQVNTPWh1bnRlcjIK»"}`,
	`{"x":"alice:«$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234»"}`, `{"x":"alice:«$apr1$abcdefgh$ABCDEFGHIJKLMNOPQRSTU.»"}`,
	`{"x":"root:«$6$abcdefgh$ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWX»:18000:0"}`,
	`{"x":"«{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3»"}`,
	// Names.
	`{"AES_256_KEY":"«hunter2»"}`, `{"aes-256-key":"«hunter2»"}`, `{"jwt_hs256_key":"«hunter2»"}`, `{"hmac_sha256_key":"«hunter2»"}`,
	`{"pswd":"«hunter2»"}`, `{"dbpswd":"«hunter2»"}`, `{"psswd":"«hunter2»"}`, `{"dbuserpass":"«hunter2»"}`, `{"client_assertion":"«hunter2»"}`,
	`{"authtok":"«hunter2»"}`, `{"signatureKey":"«hunter2»"}`, `{"certKey":"«hunter2»"}`, `{"cookie_key":"«hunter2»"}`, `{"sas":"«hunter2»"}`,
	`{"JWT_PRIVATE":"«hunter2»"}`, `{"rsa_priv":"«hunter2»"}`, `{"NUGET_KEY":"«hunter2»"}`, `{"nkeySeed":"«hunter2»"}`,
	`{"DOCKER_AUTH_CONFIG":"«hunter2»"}`, `{"pin_code":"«hunter2»"}`, `{"X-Internal-Auth":"«hunter2»"}`,
	`{"x":"AES_256_KEY=«hunter2»\nport=‹1›"}`, `{"x":"aes-256-key=«hunter2»\nport=‹1›"}`, `{"x":"jwt_hs256_key=«hunter2»\nport=‹1›"}`,
	`{"x":"hmac_sha256_key=«hunter2»\nport=‹1›"}`, `{"x":"pswd=«hunter2»\nport=‹1›"}`, `{"x":"dbpswd=«hunter2»\nport=‹1›"}`,
	`{"x":"psswd=«hunter2»\nport=‹1›"}`, `{"x":"dbuserpass=«hunter2»\nport=‹1›"}`, `{"x":"client_assertion=«hunter2»\nport=‹1›"}`,
	`{"x":"authtok=«hunter2»\nport=‹1›"}`, `{"x":"signatureKey=«hunter2»\nport=‹1›"}`, `{"x":"certKey=«hunter2»\nport=‹1›"}`,
	`{"x":"cookie_key=«hunter2»\nport=‹1›"}`, `{"x":"sas=«hunter2»\nport=‹1›"}`, `{"x":"JWT_PRIVATE=«hunter2»\nport=‹1›"}`,
	`{"x":"rsa_priv=«hunter2»\nport=‹1›"}`, `{"x":"NUGET_KEY=«hunter2»\nport=‹1›"}`, `{"x":"nkeySeed=«hunter2»\nport=‹1›"}`,
	`{"x":"DOCKER_AUTH_CONFIG=«hunter2»\nport=‹1›"}`, `{"x":"pin_code=«hunter2»\nport=‹1›"}`, `{"x":"--TWILIO_AUTH «hunter2» --port ‹1›"}`,
	`{"secretConfig":"«hunter2»"}`,
}

func TestNeighboursWithSecrets(t *testing.T) {
	unmarked := strings.NewReplacer("«", "", "»", "", "‹", "", "›", "")
	for _, d := range neighboursWithSecrets {
		check(t, unmarked.Replace(d), between(d, "«", "»"), between(d, "‹", "›"))
	}
}

// between returns the parts of s between begin and end.
func between(s, begin, end string) (parts []string) {
	for _, rest := range strings.Split(s, begin)[1:] {
		part, _, _ := strings.Cut(rest, end)
		parts = append(parts, part)
	}
	return parts
}

// neighboursWithout have no secret, though some of their words are those of secrets.
var neighboursWithout = []string{
	`{"secretName":"db-secret","secret_name":"x","secretRef":{"name":"x"},"secretKeyRef":{"name":"x","key":"password"},"existingSecret":"x"}`,
	`{"sds_config":{"name":"default"},"tls_certificate_sds_secret_configs":[{"name":"server_cert","sds_config":{"path":"/etc/sds.yaml"}}]}`,
	`{"validation_context_sds_secret_config":{"name":"ROOTCA"}}`,
	`{"credential_type":"x","credentials_file":"/x","GOOGLE_APPLICATION_CREDENTIALS":"/var/x.json","credentialsPath":"/x"}`, `{"x": "token bucket"}`,
	`{"x": "Secret store"}`, `{"x": "password policy"}`, `{"x": "The secret manager"}`, `{"x": "access token required"}`, `{"x": "session cookies"}`,
	`{"x": "Access token"}`, `{"x": "reset password link"}`, `{"x": "cookie domain: example.com"}`, `{"x": "keepalive timeout 65;"}`,
	`{"x": "listen 80 default_server;"}`, `{"x": "server_name secret.example.com;"}`, `{"x": "proxy_pass http://token-service;"}`,
	`{"x": "proxy_cache_key $uri;"}`, `{"x": "proxy_pass_header Server;"}`, `{"x": "auth_request /auth;"}`, `{"x": "auth_basic \"Restricted\";"}`,
	`{"x": "auth_basic_user_file /etc/nginx/.htpasswd;"}`, `{"x": "session_cache shared:SSL:10m;"}`, `{"x": "ssl_session_timeout 1d;"}`,
	`{"x": "ssl_session_tickets off;"}`, `{"x": "token-svc is up"}`, `{"x": "select token from t where id = 1"}`,
	`{"x": "INSERT INTO t (password, name) VALUES (?, ?)"}`, `{"x": "GET /api/token HTTP/1.1"}`, `{"x": "path /secret prefix /token"}`,
	`{"x": "route to cluster token-service"}`, `{"x": "use header \"authorization\" for auth"}`, `{"x": "header \"x-auth-token\" missing"}`,
	`{"x": "missing \"token\" parameter"}`, `{"x": "remove header Authorization"}`, `{"x": "jwt authn filter"}`, `{"x": "hash on cookie \"sid\""}`,
	`{"x": "cookie \"JSESSIONID\" path \"/\""}`, `{"x": "the field \"password\" is required"}`, `{"x": "auth: basic realm=\"x\""}`,
	`{"x": "WWW-Authenticate: Basic realm=\"x\""}`, `{"x": "match {name: x-user, value: green}"}`, `{"x": "{key: zone, value: east-1}"}`,
	`{"x": "com.alipay.test.TestService:1.0"}`, `{"x": "mosn.io/mosn/pkg/server/keeper"}`, `{"x": "a@b.com, c@d.org"}`,
	`{"x": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`, `{"x": "d670460b4b4aece5915caf5c68d12f560a9fe3e4"}`,
	`{"x": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw=="}`, `{"x": "SGVsbG8gd29ybGQsIHRoaXMgaXMgYSBwbGFpbiB0ZXh0IQ=="}`, `{"x": "%E4%BD%A0%E5%A5%BD"}`,
	`{"x": "a%3Db%26c%3Dd"}`, `{"x": "$1 $2 $3 ${x} $request_time $status"}`, `{"x": "{SERVER} {PATH}"}`,
	`{"x": "<name>token-service</name><url>http://x</url>"}`, `{"x": "<key>zone</key><string>east</string>"}`,
	`{"x": "<string>a</string><string>b</string>"}`, `{"x": "session affinity by cookie"}`, `{"x": "sessions 100"}`, `{"x": "auth none"}`,
	`{"x": "auth basic"}`, `{"x": "[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE% %REQ(AUTHORIZATION)%"}`, `{"x": "^/api/(token|secret)/[0-9]+$"}`,
	`{"x": ".*password.*"}`, `{"x": "/v1/auth/login?redirect=/home&page=2"}`, `{"x": "x-token,authorization,cookie"}`, `{"x": "exact match on key"}`,
	`{"x": "user bob"}`, `{"x": "user nobody;"}`, `{"x": "worker_rlimit_nofile 1024;"}`, `{"x": "key1 value1"}`, `{"x": "hash_key x-user"}`,
	`{"x": "set-cookie handling enabled"}`, `{"x": "mysql -h db -P 3306 -u root"}`, `{"x": "ssh -p 2222 host"}`, `{"x": "docker run -p 8080:80 image"}`,
	`{"x": "curl -u example.com"}`, `{"x": "curl --user-agent x https://y"}`, `{"x": "login -p"}`, `{"x": "nc -u host 53"}`,
}

func TestNeighboursWithoutSecrets(t *testing.T) {
	for _, d := range neighboursWithout {
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(d)); err != nil {
			t.Fatal(d, err)
		}
		if got, err := JSON([]byte(d)); err != nil || string(got) != want.String() {
			t.Errorf("%s\nbecame %s, %v", d, got, err)
		}
	}
}
