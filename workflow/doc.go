// Package workflow is the language in which people say what shall happen when something is triggered: a Definition of
// steps, each with a condition and a kind, that compiles to a flat Program.
//
// What it is not: it executes nothing and reads nothing. The engine interprets programs.
//
// Guarantees
//   - Compile finds everything that is wrong at once (up to MaxProblems), each with step, path, line and column, and never
//     panics, hangs or takes more than a bounded amount of memory, whatever it is given.
//   - What compiles can be stored as jsonb and read again.
//   - A Program is immutable and safe for concurrent use.
//
// Footguns
//   - A definition is stored in the JSON form of Definition and read by later releases: only ever add fields.
package workflow
