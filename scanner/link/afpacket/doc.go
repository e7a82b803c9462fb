// Package afpacket is the wire.Link that every Linux has: frames go out by
// sendmmsg on one packet socket, and come in through memory shared with the
// kernel.
package afpacket
