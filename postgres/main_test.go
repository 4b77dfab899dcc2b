package postgres_test

import (
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
