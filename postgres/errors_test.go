package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestErrorsOfTheServerAreTold(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	_, err := pool.Exec(t.Context(), `
		create table things (name text constraint things_name_key unique, size int check (size > 0));
		insert into things values ('a', 1)`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sql          string
		arg          any
		unique, data bool
	}{
		"duplicate key":      {`insert into things (name) values ($1)`, "a", true, true},
		"check":              {`insert into things (size) values ($1)`, 0, false, true},
		"NUL in text":        {`insert into things (name) values ($1)`, "\x00", false, true},
		"index row too long": {`insert into things (name) select string_agg(md5(i::text || $1), '') from generate_series(1, 500) i`, "x", false, true},
		"no such table":      {`insert into nothing values ($1)`, 1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pool.Exec(t.Context(), c.sql, c.arg)
			if err == nil {
				t.Fatal("the statement succeeded")
			}
			err = fmt.Errorf("wrapped: %w", err)
			if got := postgres.IsUniqueViolation(err, "things_name_key"); got != c.unique {
				t.Errorf("IsUniqueViolation(%v) = %v, want %v", err, got, c.unique)
			}
			if got := postgres.IsUniqueViolation(err, ""); got != c.unique {
				t.Errorf("IsUniqueViolation(%v, any) = %v, want %v", err, got, c.unique)
			}
			if postgres.IsUniqueViolation(err, "things_other_key") {
				t.Errorf("IsUniqueViolation(%v) of another constraint = true", err)
			}
			if got := postgres.IsDataException(err); got != c.data {
				t.Errorf("IsDataException(%v) = %v, want %v", err, got, c.data)
			}
		})
	}
}

func TestOtherErrorsAreNotTheServers(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("23505"), errors.New(strings.Repeat("x", 5))} {
		if postgres.IsUniqueViolation(err, "") || postgres.IsDataException(err) {
			t.Errorf("%v is taken for an error of the server", err)
		}
	}
}
