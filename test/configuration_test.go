package test

import (
	"net"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// Whoever misconfigures a node is told which setting is wrong, and secrets don't end up in logs.
func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	db := pgtest.URL(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // after the subtests
	for name, c := range map[string]struct {
		setting, value string
		says           string // besides the setting's name
	}{
		"no database":                {"BELFRY_DATABASE_URL", "", "belfry dev"},
		"database not there":         {"BELFRY_DATABASE_URL", "postgres://belfry:hunter2@127.0.0.1:1/belfry", "is the server running"},
		"database of another kind":   {"BELFRY_DATABASE_URL", "mysql://belfry:hunter2@127.0.0.1/belfry", "postgres://"},
		"database with a bad port":   {"BELFRY_DATABASE_URL", "postgres://belfry:hunter2@127.0.0.1:port/belfry", "port"},
		"database, badly encoded":    {"BELFRY_DATABASE_URL", "postgres://belfry:%zhunter2@127.0.0.1/belfry", "percent-encode"},
		"database, @ in password":    {"BELFRY_DATABASE_URL", "postgres://belfry:x@hunter2@127.0.0.1:1/belfry", "%40"},
		"database, / in password":    {"BELFRY_DATABASE_URL", "postgres://belfry:x/hunter2@127.0.0.1:1/belfry", ""},
		"database, # in password":    {"BELFRY_DATABASE_URL", "postgres://belfry:x#hunter2@127.0.0.1:1/belfry", ""},
		"database, : in password":    {"BELFRY_DATABASE_URL", "postgres://belfry:x:hunter2@127.0.0.1:1/belfry", ""},
		"database by keywords":       {"BELFRY_DATABASE_URL", "host=127.0.0.1 port=1 user=belfry password=hunter2", "is the server running"},
		"database by bad keywords":   {"BELFRY_DATABASE_URL", "host=127.0.0.1 port=x user=belfry password=hunter2", ""},
		"database, quotes not ended": {"BELFRY_DATABASE_URL", "host=127.0.0.1 port=1 user=belfry password='hunter2", ""},
		"database with a bad mode":   {"BELFRY_DATABASE_URL", "postgres://belfry:hunter2@127.0.0.1/belfry?sslmode=perhaps", "sslmode"},
		"database that isn't made":   {"BELFRY_DATABASE_URL", strings.Replace(db, "/test_", "/nothing_", 1), "create the database"},
		"redis not there":            {"BELFRY_REDIS_URL", "redis://:hunter2@127.0.0.1:1", "127.0.0.1:1"},
		"redis of another kind":      {"BELFRY_REDIS_URL", "http://:hunter2@127.0.0.1:1", "redis://"},
		"redis, badly encoded":       {"BELFRY_REDIS_URL", "redis://:%zhunter2@127.0.0.1:1", "percent-encoded"},
		"port taken":                 {"BELFRY_LISTEN", taken.Addr().String(), "taken"},
		"no port":                    {"BELFRY_LISTEN", "localhost", "HOST:PORT"},
		"no such port":               {"BELFRY_LISTEN", "localhost:99999", "99999"},
		"address of somebody else":   {"BELFRY_LISTEN", "203.0.113.1:8080", "cannot listen"},
		"public address, no https":   {"BELFRY_PUBLIC_URL", "http://notify.example.com", "https://"},
		"public address with /":      {"BELFRY_PUBLIC_URL", "https://notify.example.com/", "no slash"},
		"public address, with query": {"BELFRY_PUBLIC_URL", "https://notify.example.com?x=1", "https://notify.example.com"},
		"public address with user":   {"BELFRY_PUBLIC_URL", "https://me@notify.example.com", "https://notify.example.com"},
		"public address, no host":    {"BELFRY_PUBLIC_URL", "https://", "a host"},
		"public address, too long":   {"BELFRY_PUBLIC_URL", "https://" + strings.Repeat("a", 200), "https://"},
		"public address, header":     {"BELFRY_PUBLIC_URL", "https://notify.example.com/<>", "https://"},
		"origin without a scheme":    {"BELFRY_ALLOWED_ORIGINS", "app.example.com", "https://app.example.com"},
		"origin with a slash":        {"BELFRY_ALLOWED_ORIGINS", "https://app.example.com/", "https://app.example.com"},
		"connections not a number":   {"BELFRY_DATABASE_CONNS", "many", `"many"`},
		"too few connections":        {"BELFRY_DATABASE_CONNS", "3", "6"},
		"workers not a number":       {"BELFRY_WORKERS", "abc", `"abc"`},
		"no workers":                 {"BELFRY_WORKERS", "0", "1 to 64"},
		"fewer than no workers":      {"BELFRY_WORKERS", "-1", "1 to 64"},
		"too many workers":           {"BELFRY_WORKERS", "65", ""},
		"no batch":                   {"BELFRY_BATCH_SIZE", "0", "1 to 5000"},
		"too large a batch":          {"BELFRY_BATCH_SIZE", "5001", "1 to 5000"},
		"lag not a duration":         {"BELFRY_READY_LAG", "soon", `"soon"`},
		"negative lag":               {"BELFRY_READY_LAG", "-1s", "positive"},
		"no grace":                   {"BELFRY_SHUTDOWN_GRACE", "0s", "positive"},
		"log level":                  {"BELFRY_LOG_LEVEL", "loud", "loud"},
		"introspection":              {"BELFRY_INTROSPECTION", "perhaps", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settings{"BELFRY_DATABASE_URL": db, "BELFRY_LISTEN": "127.0.0.1:0"}
			s[c.setting] = c.value
			p := start(t, s, []string{"serve"})
			code, said := p.wait(), p.log.String()+p.out.String()
			if code != 1 || !strings.Contains(said, c.setting) || !strings.Contains(said, c.says) {
				t.Errorf("%s=%s: code %d, want 1 with %s and %q:\n%s", c.setting, c.value, code, c.setting, c.says, said)
			}
			if strings.Contains(said, password) {
				t.Errorf("%s: the password is told:\n%s", c.setting, said)
			}
		})
	}
}

// The commands say what to do about what cannot be done.
func TestCommandErrors(t *testing.T) {
	t.Parallel()
	db := pgtest.EmptyURL(t) // they make the schema themselves
	run(t, db, "environments", "create", "production")
	for _, c := range []struct{ args, says string }{
		{"environments create production", "production"},
		{"environments create Pro/duction", "a-z"},
		{"keys create secret --environment staging --name x", "environments list"},
		{"keys create secret --environment production", "--name"},
		{"keys create private --environment production --name x", "secret"},
		{"keys revoke --environment production 99", "no such API key"},
		{"signing-keys create --environment production --name x --algorithm HS256", "RS256"},
		{"signing-keys import --environment production --name x /dev/null", "PEM"},
		{"signing-keys revoke --environment production 99", "no such"},
		{"link-secrets rotate --environment staging", "environments list"},
		{"link-secrets revoke", "--environment"},
		{"segment set --environment production --write-key x --endpoint ftp://example.com", "http"},
		{"segment show --environment production", "no Segment destination"},
		{"serv", "serve"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			p := start(t, settings{"BELFRY_DATABASE_URL": db}, strings.Fields(c.args))
			if code, said := p.wait(), p.log.String(); code != 1 || !strings.Contains(said, c.says) {
				t.Errorf("code %d, want 1 with %q:\n%s", code, c.says, said)
			}
		})
	}
}
