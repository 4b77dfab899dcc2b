// Package calendar is the "when" of workflows: durations, recurrence rules, send
// windows, the dynamic windows that read any of these from data, and time zones.
//
// It is not a clock and not a scheduler: every function takes the instant it starts
// from and returns instants in UTC. It does no I/O but for [Zone], which reads the
// time zone database; programs for machines without one import time/tzdata.
//
// # Guarantees
//
//   - Values may come from strangers. Sizes are bounded, nothing loops longer than a
//     fixed number of steps, and nothing panics. A nil location is UTC.
//   - Seconds to weeks are exact elapsed time: a day is 24 hours. Months are calendar
//     months, and end on the last day of a month that is too short.
//   - Daily, weekly and monthly rules follow the clock on the wall. A time that the
//     clock skips happens at the first instant after the gap; one that it shows twice
//     happens once, the first time. A day that a zone skips altogether is such a gap.
//   - Hourly rules follow real time: once in every hour that passes, when the clock
//     shows that minute, and so twice when an hour is repeated. Where a shift of less
//     than an hour hides the minute, it happens at the end of the shift.
//   - A send window is open exactly when the clock on the wall is inside it.
//   - Weeks begin on Monday. A rule has no occurrence before its anchor.
//
// # Footguns
//
//   - "Every 6 hours" counts real hours, so its times of day move by an hour with
//     summer time. For fixed times of day use several daily rules.
//   - "daily" with an interval that is a multiple of 7 and days that don't include the
//     anchor's never happens: [Rule.Next] says false.
//   - 12 months from the February before a leap day are 366 days: more than
//     [MaxHorizon].
//   - "until" is not included: 23:59:59 leaves the last second of the day closed. Leave
//     it out, or write 24:00.
//   - A daily rule in a zone that skips a day (Samoa, 2011) happens at the following
//     midnight, and again at its hour.
package calendar
