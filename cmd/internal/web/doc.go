// Package web is the server's page for people: what needs attention, the sites
// and their agents, runs while they run, findings, differences and trends. It is
// made on the server and can be read without a script.
//
//	s, err := web.New(web.Config{Listen: "127.0.0.1:8470", Fleet: conductor, Store: history, …})
//	…
//	err = s.Run(ctx) // listens until ctx ends
//
// # Who may see it
//
// Nobody without a name: there is a token, typed into a form once or sent as a
// bearer by a script, or a proxy in front that has asked for the name. A script
// may read and nothing else. An address that is not loopback also needs TLS.
//
// Behind a proxy that speaks TLS, Config.Public says so: the session's cookie is
// then Secure, and bound to that host, which it cannot be on plain loopback. From
// X-Forwarded-Proto it is not taken: anybody can send that.
//
// # Design
//
// There is one page for every question and a link to every page: what a person
// sees can be sent to a colleague. Hence filters are queries of a URL and not
// the state of a script. The one script moves the numbers of runs that run.
//
// The style is that of the HTML report, the file itself, and a second one with
// what a report does not have. Charts are drawn here and have a table beside
// them.
//
// Sessions are kept in memory: a server that was started again asks for the
// token again, and no key has to be kept on a disk. The form's secret is derived
// from the session, so it needs no memory at all.
//
// What is current at a place is not its newest run alone: two jobs may look at
// the same place in turn. The newest run of each job counts, unless it is more
// than 35 days older than the newest of the place; then the job is no more. One
// that asks again what was dead in the run before stands beside that: alone it
// would be an all-clear for the rest.
//
// A port that several jobs found at one place is one row with the verdict of the
// newest, and names them all. A policy is that of a job: a port is against it if
// it is against that of any of them, and a newer job without one takes no breach
// back. Nor does one that found the port closed: that may be a lost packet, and
// the job that found it open will look again.
//
// Differences are counted when somebody looks, and the store keeps the counts.
// A page waits 15 seconds for those that are new and shows a dash for the rest.
// What several jobs of one place found together is counted then, too, and kept in
// memory until one of them has a newer run.
//
// A report is written into the answer while it is read from the store, so a
// million rows need no more memory than one. What fails in the middle ends the
// connection without the last chunk: half a report cannot be taken for a whole.
package web
