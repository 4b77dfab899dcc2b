// Package pgtest gives each test a PostgreSQL database of its own, with
// Belfry's schema, on a real server that the test process starts and stops.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestAppend(t *testing.T) {
//		t.Parallel()
//		pool := pgtest.New(t)
//		…
//	}
//
// The server starts with the first database that is asked for (half a second);
// migrations run once, into a template that each further database copies (tens
// of milliseconds). Nothing is shared between tests, so they run in parallel.
//
// It is not a mock, and durability is off: test crash safety of the database
// itself elsewhere. A missing PostgreSQL fails the test with what to install;
// it never skips.
//
// Footgun: a test that fails keeps its database for the rest of the process,
// to be looked at under a debugger or from a later test, no longer.
package pgtest
