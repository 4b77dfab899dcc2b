package postgres_test

import (
	"os"
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(helperDir); ok {
		serveUntilKilled(dir)
	}
	pgtest.Main(m)
}
