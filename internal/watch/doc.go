// Package watch tells a few people how something in the database goes on.
//
// What it is not: a bus. What this node changes is told at once, what another one does when it is next read: nothing is
// carried for those whom nobody watches.
//
// Guarantees
//   - Each state that is told was read after the change that rang the bell. States may be passed over.
//
// Footguns
//   - Ring after the commit: whoever is woken reads at once.
package watch
