// Package ways finds what probes leave this host by, the interface, the address that
// they come from, the route, and watches it. A cable that is pulled, an address that
// is taken away or a route that leads elsewhere makes targets silent and tells nobody,
// so whoever sends adds its ways to a Watch, which says afterwards what has become of
// them. It sends nothing, and serves Linux only.
//
// # Design
//
// Carrier and address have a count and a date of their own in the kernel, so that
// what came back before the end is seen as well, however short it was away. An
// interface that had no carrier at the start is no fault of the run: an idle
// bridge has none.
//
// A route has neither. It is looked at when the frames that were thrown away are
// counted, four times a second while probes are sent, a few of them each time. So
// a route that was away for less than that can pass unseen. To subscribe to the
// kernel's messages was rejected: of the IPv4 routes that it takes away with an
// interface or an address it sends none, so one would have to look all the same.
//
// Frames that an interface threw away are a counter, for which one sends slower;
// not while the carrier is missing, where that would be in vain. Those that it could
// not send, as a tunnel that carries no IPv6, are told at the end: slower is no help.
package ways
