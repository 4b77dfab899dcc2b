// Package postgres is everything Belfry knows about PostgreSQL itself: the
// connection pool, transactions with after-commit hooks, schema migrations,
// and a private server for `belfry dev` and for tests. Tests start from
// package pgtest.
//
// It is not a query layer. SQL lives in the store.go of the package that owns
// the tables, written by hand on plain pgx.
//
// Guarantees:
//   - every session runs in UTC, with a statement timeout and an
//     idle-in-transaction timeout;
//   - after-commit hooks run only once the transaction is durable, in the
//     order in which they were registered;
//   - [Migrate] may be called by any number of nodes at once;
//   - a private server never outlives the process that started it (on Linux
//     the kernel sees to that; elsewhere the next start stops the orphan).
//
// Footguns:
//   - inside [InTx] use the transaction, never the pool: taking a second
//     connection while holding one deadlocks when the pool is empty;
//   - a hook registered inside a savepoint that is rolled back still runs when
//     the outer transaction commits;
//   - connect directly or through a pooler in session mode: the schema lock of
//     Migrate and the session settings need a session of their own.
package postgres
