package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"
)

// Link carries whole frames between this process and one interface. Every
// implementation passes the same tests; afpacket is the one that every Linux
// has. WriteFrames and ReadFrames may run at the same time.
type Link interface {
	// WriteFrames sends the frames in order and returns how many the kernel
	// took. n < len(frames) comes with an error that is about frames[n]: ErrBusy
	// when the local queue is full, so that the frame may be offered again,
	// ErrLinkDown when the interface takes no frame any more, anything else when
	// only this frame was refused. It does not wait for room and does not retain
	// the frames. One goroutine calls it at a time.
	WriteFrames(frames [][]byte) (n int, err error)
	// ReadFrames calls fn for each received frame with the kernel's receive
	// time, from the calling goroutine, until ctx or the link ends, and then
	// returns nil. The frame is valid only during fn, which must not block.
	ReadFrames(ctx context.Context, fn func(frame []byte, at time.Time)) error
	// Drops counts the frames that the kernel dropped since the link was opened
	// because nobody read them in time. It keeps its value after Close.
	Drops() (uint64, error)
	// Close ends a running ReadFrames and frees the link.
	Close() error
}

// Writer is a further way out of a link's interface, which keeps what
// Link.WriteFrames promises.
type Writer interface {
	WriteFrames(frames [][]byte) (n int, err error)
}

// Lanes is a Link with several ways out: sockets, if it can be each of a queue
// of the network card. It is optional.
type Lanes interface {
	Link
	// Lanes returns those beside the link's own. All of them and the link may be
	// written to at the same time; Close ends them.
	Lanes() []Writer
}

// Medium is how a link frames what it carries. The zero value means "not set".
type Medium uint8

// The media.
const (
	// Ethernet frames begin with a 14-byte Ethernet header.
	Ethernet Medium = iota + 1
	// IP frames begin with the IP header: tun, wireguard and ppp interfaces,
	// which have no link-layer addresses.
	IP
	// Host frames begin with the IP header too, and are handed to this host's
	// own routing: the loopback interface, for addresses of this host. Injected
	// below it they would be dropped as martians.
	Host
)

// LinkSpec is what a Link must be able to carry.
type LinkSpec struct {
	Name   string // of the interface
	Index  int    // of the interface in the kernel
	Medium Medium
	// IPv4 and IPv6 tell which families are used; at least one is.
	IPv4, IPv6 bool
	// Sources are the addresses of this host that answers come back to.
	Sources []netip.Addr
	// Ports are the source ports of the probes; nothing else needs to be read
	// but TCP and UDP to them, ICMP errors, and answers to neighbour requests.
	Ports SourcePorts
	// Burst is the most answers that may come in within a tenth of a second, 0
	// when that is not known. The link keeps room for them, within reason.
	Burst int
	// ListenOnly is for interfaces that nothing is sent by, but on which answers
	// may come in. WriteFrames is not called.
	ListenOnly bool
	// Lanes is by how many ways out to send at the same time, at most; 0 is 1.
	// Only an implementation of Lanes has more than one.
	Lanes int
}

// The sentinels of a link. They are returned as they are or wrapped.
var (
	// ErrBusy means that the local send queue is full at the moment.
	ErrBusy = errors.New("wire: the local send queue is full")
	// ErrLinkDown means that the interface is down or gone.
	ErrLinkDown = errors.New("wire: the interface is down or gone")
	// ErrPrivilege means that this process may not send and read raw frames.
	ErrPrivilege = errors.New("wire: raw frames need root or CAP_NET_RAW")
	// ErrInterface means that the interface or the source address that was asked
	// for cannot be used.
	ErrInterface = errors.New("wire: interface not usable")
)

// Privilege makes the error of a missing privilege one that is ErrPrivilege, and
// leaves every other one as it is.
func Privilege(err error) error {
	if errors.Is(err, fs.ErrPermission) { // EPERM, EACCES
		return fmt.Errorf("%v: %w", err, ErrPrivilege)
	}
	return err
}
