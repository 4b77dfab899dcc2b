package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// IsUniqueViolation tells whether err is a duplicate key (SQLSTATE 23505) of
// the named constraint or unique index; "" matches any.
func IsUniqueViolation(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" &&
		(constraint == "" || pg.ConstraintName == constraint)
}

// IsDataException tells whether the server refused the data itself: SQLSTATE
// class 22 (bad value: NUL in text, number out of range), 23 (constraint) or
// 54 (program limit, such as an index row that is too long). The same
// statement with the same data fails again, so it must not be retried.
func IsDataException(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}

// IsDeadlock reports whether the transaction was undone because it and another one held each other up: done again it will
// succeed.
func IsDeadlock(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "40P01"
}
