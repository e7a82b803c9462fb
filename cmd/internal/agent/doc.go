// Package agent takes shards from a server, has them carried out, and gives the
// results, from one process at one site. It only dials out.
//
//	consumer of the place -> shard -> Sweeper -> parts -> spool -> result stream -> acknowledgement
//	                           ^ the site's own bounds and never-scan list
//
// One agent works for one or several vantages, each with a [Sweeper] of its own,
// and each takes one shard at a time.
//
// The goroutines, and what ends them:
//
//	worker     one a vantage, Run      told to leave and nothing in work, ctx
//	publisher  one a vantage, Run      the workers are over and the spool is empty, or time
//	greeter    one a vantage, Run      the workers are over
//	beats      one, Run                the workers are over; it sends the last beat
//	watcher    one, Run                the connection is closed, or Run is over
//	keeper     one a shard             the shard is over: says that it is still in work
//	flusher    one a shard             the shard is over: no part waits for long
//
// # Design
//
// What was found goes to the disk first and from there to the server, always: so
// there is one way, and a server that is away for hours is the ordinary case. A
// record of the spool is a message as it is published, with its message id: after
// a kill it is published again under the same id and with the same bytes, and the
// server takes it once. Results that were not yet a part are lost by a kill; the
// shard is then done again.
//
// A spool that fills up holds the sweep and what it had asked for still finds
// room; one that is full makes the source wait. A disk that fails ends the shard:
// it is given back, with the fault, and nothing that was found is passed over in
// silence. What is in the spool already is published all the same.
//
// The work item is acknowledged when everything of it is in the result stream. An
// item that was carried out here and comes again, because the acknowledgement was
// late, is acknowledged and not carried out again: the spool remembers the last
// ones. Another item of the same shard is another matter: the server has seen the
// end of the first, and wants the shard done again.
//
// The server is not trusted with the site's network: a shard is checked like any
// hostile message, the never-scan list is read anew for each, and of two bounds
// the lower one holds. Nothing is taken while the list cannot be read.
//
// A shard that cannot be carried out here is given back at once, with the fault
// in its Done, and the vantage waits longer each time before it takes another:
// an agent that works gets it, and one that does not work does not use up the
// deliveries.
//
// All times in messages are the server's, by the difference that its welcome
// told; it is taken once for a shard, so that a correction does not run through
// one. Before and after each shard the agent looks whether its clock was set, or
// stood still while the machine slept. Then it asks the server's anew, and a shard
// in which the difference changed is done again: its times are wrong.
package agent
