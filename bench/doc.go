// Command bench measures the figures that Belfry quotes, each beside a baseline that is measured in the same run on the
// same PostgreSQL: workflow runs a second beside the jobs of a general job queue; the time from a trigger to the frame at a
// client beside the commits and round trips that it is made of, and beside the same while a large fan-out is under way; runs
// beside a million others that wait, and beside none; the acceptance of a large trigger beside a small one; what WebSockets
// cost beside those of other servers.
//
// What it is not: a load test of your installation, or a benchmark of PostgreSQL. Absolute figures belong to the machine
// they were taken on; the ratios travel better.
//
// Guarantees
//   - Both sides of a comparison are timed by the same code, take turns, and use the same server, the same settings and
//     as many connections. Servers of WebSockets are processes of their own, of which one runs at a time, and deliver
//     the same notice.
//   - Nothing is reported that was not verified afterwards: what was asked for is counted again in the database, or
//     frame by frame at the clients. A side that lost, doubled or failed something fails the whole run.
//   - Latency counts from the instant at which the schedule wanted the trigger to be sent, so a generator that falls
//     behind, or a server that stalls, can't hide in the figures.
//
// Footguns
//   - Everything shares the machine: the load generator, PostgreSQL and Belfry. On a busy one the figures mean little;
//     the report has the load average from before and after, of which the measuring itself causes 3 to 5.
package main
