// Package history keeps every run in one SQLite file: its plan, its findings
// with their evidence, and its outcome. It compares runs, and fills in what a
// finding alone cannot know: whether it is new, and since when it is there.
//
//	store, err := history.Open(ctx, path)
//	recorder, err := store.Begin(ctx, plan, facts)   // a reports.Sink
//	…
//	err = store.Diff(ctx, from, to, func(c history.Change) error { … })
//
// # What is never lost
//
// A finding is committed at the latest half a second after it was written, with
// the file synced; a kill or a full disk costs what came after that, and a run
// that did not end is shown as unfinished with everything that it had found.
// Two scans, or a scan and a report, may use the file at once. A file that is
// damaged, foreign or of a newer program is refused and never written to.
//
// # Design
//
// Gone needs two strikes. One silent scan can be a lost packet or a reboot, so
// a port that was open and is not is "missing" first, and "gone" when the next
// run that measured it finds it so too. Both are computed from the runs
// themselves, not from a counter: any two runs can be compared, also long after.
// A missing port is listed, and is no difference for an exit code.
//
// Silence counts only where it was measured. A run that was interrupted, lost
// packets or did not ask a target says nothing about it: not_scanned. A shard
// does not tell here which targets it asked, so its silence counts for nothing.
//
// Two runs are compared by reading one narrow table in the order of its key,
// 30 bytes a port; a digest stands for what a change can be about, and only
// where digests differ the findings are read. Columns for every field were
// rejected: the schema would follow every new column of a report, and a diff of
// a million ports would read half a gigabyte.
//
// What answered without being open is kept in deflated batches: a closed port
// costs a few bytes, where a row of its own would cost more than a hundred, and
// nobody asks for one of them by name. What was silent is not stored; the plan
// says what was asked.
//
// A machine that moved is recognised by its MAC, its certificate or its host
// name, in that order, and only if that name stands at one address in either
// run: a vendor's default certificate is no identity.
//
// When a port was seen first is kept beside the runs, so that pruning them does
// not make everything new again.
package history
