// Package belfry is the vocabulary of Belfry, a self-hosted, realtime GraphQL notification platform: the nouns that its
// packages say to each other, with the rules that belong to them. It imports the standard library only, does no I/O and
// knows no database.
//
// # The life of one notification
//
// A customer's backend calls the mutation triggerWorkflow (package graph). The engine checks the request, finds or
// identifies everybody it names (package recipient), and stores a trigger and a fan-out in one transaction: from here on
// nothing is lost.
//
// A worker of the engine claims the fan-out, and for each of its recipients runs the workflow: a program, compiled from
// its steps (package workflow). Conditions and templates see the trigger's data, the recipient, the actor and the tenant.
// A run that has to wait (for a time, an event, a response, the end of a batch) is a row until then, and goes on where it
// was. What a run decides to tell becomes a [Message]. Messages are handed over in the engine's transaction: in-app
// messages go to the feed, which gives each its place in the history of its owner's feed and changes the counters with
// it; the others are stored for delivery (package delivery), which hands them to providers afterwards, as often as it
// takes. In the same transaction a [StatusChange] is recorded (package analytics), and runs that wait for it are
// signalled. Then everything commits at once: either the run happened with all that follows from it, or it is still to be
// done.
//
// After the commit the feed rings a bell (package realtime): a publication with the item, the exact badge and the
// position. Each device of the person that has subscribed gets it over its WebSocket. A bell can get lost; positions are
// gap-free, so a subscriber notices, and reads what it missed from the database. PostgreSQL is the truth, Redis is the
// bell.
//
// When the person reads the message, markItems changes item, counters and version in one transaction again, all other
// devices hear of it, and the engagement goes to Segment, by a cursor that moves only after Segment took it.
//
// # Guarantees
//
//   - Everything belongs to one environment ([EnvironmentID]); every read takes a [Viewer] and sees no other.
//   - Errors for callers are [Error] values with a code of a closed set, the field and the limit.
package belfry
