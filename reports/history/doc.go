// Package history keeps every run, in a file of SQLite or in a database of
// PostgreSQL: its plan, its findings with their evidence, and its outcome. It
// compares runs, fills in what a finding alone cannot know, whether it is new and
// since when it is there, and finds findings again.
//
//	store, err := history.Open(ctx, "history.db") // or "postgres://user@host/database"
//	recorder, err := store.Begin(ctx, plan, facts)   // a reports.Sink
//	…
//	err = store.Diff(ctx, from, to, func(c history.Change) error { … })
//	page, err := store.Search(ctx, history.Query{Runs: runs, Severities: []string{"high"}})
//	base, changes, err := store.Changes(ctx, run)
//
// # What is never lost
//
// A finding is committed at the latest half a second after it was written, with
// the disk synced; a kill or a full disk costs what came after that, and a run
// that did not end is shown as unfinished with everything that it had found. It
// can be continued: Begin again with the same id. Two scans, or a scan and a
// report, may use the history at once. One that is damaged, foreign or of a newer
// program is refused and never written to. While a server is away, or another
// process holds the history, as to prune it, a recorder tries for a minute; then
// the run fails, with what was stored.
//
// A finding that comes again is never a second one. An open port replaces what
// was stored of it, and overrules another answer of the same target; any other
// answer of a target that the run has changes nothing.
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
// run: a vendor's default certificate is no identity. One that moves from run to
// run is looked for where it was last.
//
// When a port was seen first is kept beside the runs, so that pruning them does
// not make everything new again.
//
// Both databases read the same queries, with numbered parameters. What differs
// stands behind one interface of five methods: the schema, errors, bulk writes,
// compaction and the check. Numbers of schemas are shared; PostgreSQL begins with
// the second. Its tables stand in the first schema of the search_path, which must
// be empty or hold a history: two programs in one would be one migration away
// from each other's tables.
//
// No connection is held while a caller's function runs: what is long is read in
// pages by key. Any number of comparisons can share a pool with a bound, no
// statement lasts as long as a slow writer of reports, and a file's log does not
// grow because somebody reads. A run that is judged again while it is read may be
// seen half before and half after.
//
// A transaction whose answer was lost may have been committed. So every batch is
// written such that writing it again leaves the same: open ports replace
// themselves, batches of answers have numbers. A recorder knows which targets its
// run has, a bit each; asking the database for each finding would cost as much as
// storing it, and the deflated batches cannot be asked at all.
//
// What is searched and counted stands in columns of finding, as words, so that
// people can count with SQL too: verdict, severity, expected, and the texts in
// small letters, 400 bytes at most. An index for each was rejected: to look
// through a million takes less than a second, and each index costs every scan.
// Counts of a run that has ended are kept with it, and so is what differs from the
// run before, when it was asked for once: until one of the runs that it looked at
// is taken up or judged again.
//
// Texts are deflated with a dictionary, by a library that keeps no state between
// them: the standard one's fastest level does not use the dictionary, which made
// findings three times as long in twice the time.
//
// The URL is shown with user, host and database only, and errors say nothing that
// was read from it. pgx connects, and database/sql pools.
package history
