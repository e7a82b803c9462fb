// Package afxdp is the wire.Link that sends fastest: frames go out by an AF_XDP
// socket, whose memory and rings the kernel shares with this process. What
// comes in is read as [dormant/scanner/link/afpacket] reads it.
//
// # Design
//
// Only sending goes by AF_XDP, so no program is loaded into the kernel, no
// traffic of this host is taken away from it, and CAP_NET_RAW is enough. The
// kernel makes one packet buffer of each frame (copy mode), which every driver
// can do. Zero-copy resets the queue of many network cards when the socket is
// bound, so it is only done on request.
//
// A frame is copied into the shared memory by WriteFrames rather than written
// there by the caller: that costs 5 ns of the 1,300 or so that the kernel takes
// to send it, and keeps the Link interface as small as it is.
//
// What stands on the ring cannot be taken back, so it counts as sent, and
// WriteFrames waits until the kernel has taken it. Only a device that takes
// nothing for a tenth of a second leaves frames behind; they are in Drops until
// a later call has sent them.
//
// A second goroutine that only sends, while the first one builds the next
// frames, was tried: on two cores it cost a fifth more processor time for
// nothing, for the memory then wanders between the cores. Two that both build and
// send are worth it: on two cores they carry 1.4 times as much, at 1.15 times the
// processor time a frame (BenchmarkLanes has the part of it that is here). So a
// link can have several sockets, which it offers as wire.Lanes: each of a queue
// of its own where the device has so many, and else of the first one's, with the
// same memory. Sockets of one queue share a lock for every frame in the kernel.
package afxdp
