// Package model holds the shapes of the GraphQL API that differ from the domain's: scalars, connections, payloads and
// inputs. models_gen.go is generated from the schema; the rest says how domain values become API values.
//
// What it is not: the domain. Nothing outside of graph uses it.
package model
