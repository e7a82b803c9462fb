// Package checkpoint keeps on disk what a scan needs to go on after it was
// stopped or killed. A run has a folder of its own, named by its scan id:
//
//	run.json       which scan it is: the settings as given, seed, identity of the plan
//	journal        every answer and every finished dialogue, appended as they come
//	position.json  how far the sweep is, and how much of the journal belongs to it
//	lock           held while a process works on the run
//
// A run that is complete is removed, one that is never resumed by [Prune].
//
// # Design
//
// The journal is binary, each record with its length and CRC-32C: an answer is
// some forty bytes and costs the receiver no allocation, and a torn end is seen
// and cut off. Records behind those that the position needs are a gift: what
// they tell is not asked again.
//
// The two JSON files end with a CRC-32C of what is before it. A position that was
// damaged or edited would be believed otherwise, and the targets that it jumps
// over reported as silent by a run that calls itself complete. The sum covers the
// text and not the values, so that it needs no canonical form. Files of schema 1
// had none and are still read; a file that has one must be as it was written.
// It is no signature: it guards against accidents, not against forgery.
//
// Order makes it safe: the position is read first, then everything that was
// journaled until then is written and synced, and only then the position takes
// its name. A position never promises an answer that is not on disk.
//
// What was sent since the last position is not in its numbers. So every position
// but that of an orderly end says that the run goes on, and a part that finds such
// a one, because the part before it was killed, calls the numbers lower bounds.
//
// [Run.Observed] and [Run.Identified] only append to memory, so the receiver
// never waits for a disk. A disk that fails ends the checkpoints, with a line in
// the log, and not the scan. They do not begin again when there is room again: what
// could not be written is gone, and a later position would promise it.
package checkpoint
