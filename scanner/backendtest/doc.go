// Package backendtest is the contract of scanner.Backend as a test suite: every
// backend runs it, so that what the engine relies on holds for all of them.
//
// A backend's own test builds a World, for example two loopback listeners or a
// map, and calls Run:
//
//	backendtest.Run(t, connect.New(…), backendtest.World{Open: …, Closed: …, Wait: time.Second})
//
// # Design
//
// One batch, one stream of answers: the suite checks what the engine needs
// (each answering target once and rightly, silence never emitted, the batch not
// retained, a clean end) and not how a backend does it. Under testing/synctest
// the wait costs nothing.
package backendtest
