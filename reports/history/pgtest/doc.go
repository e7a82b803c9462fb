// Package pgtest starts a server of PostgreSQL for tests: Debian's, in a folder
// that goes with the test, reachable by a socket in it and by nothing else.
//
//	server := pgtest.Start(t, false)
//	store, err := history.Open(ctx, server.Fresh(t))
//
// # Design
//
// The real server, and none that behaves like one: what is tried is what it does
// when it is stopped, crashes, or refuses.
package pgtest
