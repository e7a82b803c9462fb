// Package reports turns findings into what people and other programs read.
// There is one Finding, and every format prints it: the columns of CSV schema
// v1, in the order of the type's fields, are the keys of JSON and the rows of a
// spreadsheet alike. A format is a Sink and a line in Formats.
//
// What a host answered is hostile input here too. A banner can hold terminal
// escapes, spreadsheet formulas, HTML, invalid UTF-8 and line ends; none of
// that may reach the program that shows the report. Hence every text passes
// escape (printable ASCII, one line, bounded), and in CSV also cell.
//
// An output file is written beside its final name, brought to the disk and
// renamed when it is complete. Until then the old file stands; a failed or
// aborted run leaves nothing behind.
//
// # Design
//
// Cells are ASCII because a byte order mark breaks importers and its absence
// breaks Excel: without anything beyond ASCII neither matters. The bytes as
// they were are in the evidence, which evidence_id leads to. A backslash is not
// escaped itself: excerpts arrive escaped, and escaping twice would make them
// unreadable.
//
// Single quotes are also put after a comma or semicolon inside of a cell when a
// formula sign follows. Quoting keeps such a cell together only for a reader
// that uses the same delimiter, and Excel's delimiter is a matter of locale.
//
// Findings arrive in the order in which dialogues end. Sorted stands before the
// sinks and gives them the order of the contract; it holds a bounded number of
// findings and merges from one unlinked file beyond that. Sorting inside of
// every sink was rejected: the formats that stream would no longer.
//
// The HTML page has a row and a card for each open port in its markup, and a
// script that only hides and orders them: it reads without the script, and
// nothing from the network is ever data for one. The content security policy
// names the hashes of the one style and the one script. Building the rows in
// the browser from JSON was rejected for that reason. Where scripts run, the style
// keeps all but the first 250 from being laid out, before the script does: with
// 10,000 of them the page took twice as long to open.
//
// nmap's XML has no place for a verdict. It stands as the result of a script,
// which every reader of that format shows or skips; the service element is only
// written for what was proved.
//
// What breaks the policy stands first wherever a person reads: in the table, the
// page, Markdown and the sheet Attention, also when the bound of one is reached.
// The rows of CSV, JSON and nmap's XML keep the order of addresses, by which
// other programs join them; the column expected says no there.
//
// What differs from the last comparable run comes right behind: in the first
// sentence, in a section of the table and the page, and in a sheet. Whoever audits
// each month looks for what is new before anything else. That nothing changed is
// only said where everything that is open was asked before.
//
// The column mac_vendor is reserved and stays empty. IEEE's list of prefixes is
// public, but no licence that is stated with it lets a program carry it along,
// and asking a service for a name would tell strangers what stands in the network.
// Who has the list can join it to the column mac.
//
// Sink.Close takes no context, so Sorted delivers under one of its own: what
// was found is written also when the run was interrupted.
//
// "open" with confirmed "no" means that a SYN-ACK came and no handshake was
// completed with it. The table shows it as "open?".
package reports
