// Package listen learns, without sending a packet, who uses the dormant ports:
// from frames heard on an interface or in a capture file, and from what other
// tools have recorded of flows. Every use of a service by one client is a
// Client; a Table gathers them in bounded memory.
//
//	ear, err := listen.NewEar(listen.Config{Ports: ports, Table: table})
//	err = listen.ReadCapture(ctx, "x.pcapng", file, ear.Hear)
//	flows, err := listen.ReadFlows(ctx, "conn.log", file, listen.FlowOptions{Ports: ports}, table.Add)
//
// # Design
//
// What was heard is graded, because the reader will cut somebody off by it: a
// SYN is an attempt, an answered handshake is no more than a port scan leaves
// behind, and only bytes in a conversation are use. See Use.
//
// Who is the client is told by the SYN, by the SYN-ACK, by the tool that wrote
// the flow, or, where a conversation was joined in its middle, by the port. The
// last can be wrong: any of these numbers can be the source port of an old
// system's outgoing connection. Each Client says how it was told, and a
// conversation whose SYN showed that our number is only a source port is left
// out to its end.
//
// The memory is bounded by forgetting what tells least. A port scanner that
// passes by leaves a hundred thousand attempts; they push out each other, not
// the clients. Whatever is forgotten is counted.
//
// Capture files are read by own code, with gopacket's pcapgo as the second
// opinion in the tests: pcapgo v1.1.19 allocates what a file claims, and panics
// on short options. Flow files are read strictly: one line that is not
// understood is an error with its number, because a client that was skipped in
// silence is a client that is cut off in silence.
package listen
