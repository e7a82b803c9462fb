// Package netlab makes isolated networks for tests: network namespaces joined
// by veth pairs, with nothing else in them and no way out. It works for root and
// inside "unshare -Urn"; elsewhere the test is skipped with the reason, or fails
// when DORMANT_REQUIRE_NETNS is 1.
//
//	scan, far := netlab.Pair(t, "scan0", "net0")
//	scan.Addr("scan0", "10.1.0.1/24")
//	far.Addr("net0", "10.1.0.2/24")
//	far.Listen(netip.MustParseAddrPort("10.1.0.2:1947"))
//	scan.Do(func() { b, err = wire.Open(cfg) })
//
// # Design
//
// A namespace has no name and no file: it ends with the last socket in it, so a
// test that is killed leaves nothing behind. Everything is done by netlink, no
// program need be installed. Do runs a function on a thread of its own, because
// a namespace is a property of a thread; the thread is thrown away afterwards.
package netlab
