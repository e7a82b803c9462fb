//go:build linux

package afxdp

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dormant/scanner/link/afpacket"
	"dormant/scanner/wire"
)

// Link sends by AF_XDP and reads by packet sockets. It implements wire.Link.
type Link struct {
	*afpacket.Link         // reads, and sends what the device threw away
	lanes          []*lane // at least one

	resending sync.Mutex // lanes may meet
}

var _ wire.Lanes = (*Link)(nil)

// Config is what a Link may do.
type Config struct {
	// ZeroCopy lets the network card read frames from this process's memory.
	// Few drivers can, and most of them reset the queue for it.
	ZeroCopy bool
}

// Ready returns why no link can be opened on this host, nil when one can as far
// as the host is concerned.
func Ready() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return errors.New("afxdp: this kernel has no AF_XDP")
	default:
		return fmt.Errorf("afxdp: open a socket: %w", wire.Privilege(err))
	}
}

// Open opens the link that spec describes in the network namespace of the
// calling thread. It can wait a second for a queue that is in use. The error
// is ErrUnsupported for an interface that this is not made for, and
// wire.ErrPrivilege for a missing privilege. Whatever it is, afpacket may still
// work, so whoever only prefers AF_XDP goes on with that. Whoever insists on it
// does so on interfaces that carry no Ethernet, and takes any error of another
// for the end, be it a bridge or a queue that somebody else has.
func Open(spec wire.LinkSpec, cfg Config) (*Link, error) {
	if spec.Medium != wire.Ethernet {
		return nil, fmt.Errorf("%w: %s carries no Ethernet", ErrUnsupported, spec.Name)
	}
	if err := suited(spec); err != nil {
		return nil, err
	}
	wanted := max(1, spec.Lanes)
	s, err := openSocket(queue{spec.Index, 0, cfg.ZeroCopy}, wanted, bindPatience)
	if err != nil {
		return nil, fmt.Errorf("%w (interface %s)", err, spec.Name)
	}
	spec.Lanes = 0 // the packet socket only helps out
	packets, err := afpacket.Open(spec)
	if err != nil {
		s.close()
		return nil, err
	}
	l := &Link{Link: packets}
	l.lanes = []*lane{{sender: newSender(s, l.resend)}}
	for len(l.lanes) < wanted {
		further, err := further(s, len(l.lanes))
		if err != nil {
			break
		}
		l.lanes = append(l.lanes, &lane{sender: newSender(further, l.resend)})
	}
	return l, nil
}

// further opens the n-th socket beside the first: of a queue of its own or, where
// there is none or somebody has it, of the first one's.
func further(first *socket, n int) (*socket, error) {
	s, err := openSocket(queue{first.queue.index, uint32(n), first.queue.zeroCopy}, 1, 0)
	if err == nil {
		return s, nil
	}
	return first.beside(n)
}

// lane is one socket, of which another goroutine may make use than of the others.
type lane struct {
	sender   *sender
	stranded atomic.Uint64 // frames that stood on the ring when WriteFrames returned
}

// WriteFrames implements wire.Writer.
func (w *lane) WriteFrames(frames [][]byte) (int, error) {
	sent, err := w.sender.write(frames)
	if err != nil || w.stranded.Load() > 0 {
		w.stranded.Store(uint64(w.sender.waiting()))
	}
	return sent, err
}

// WriteFrames implements wire.Link. A frame counts as taken when it stands on
// the ring. The call waits for room as long as the device takes frames. Frames
// that a stuck device leaves on the ring are sent by a later call, or count as
// dropped.
func (l *Link) WriteFrames(frames [][]byte) (int, error) { return l.lanes[0].WriteFrames(frames) }

// Lanes implements wire.Lanes: the sockets beside the first.
func (l *Link) Lanes() (all []wire.Writer) {
	for _, w := range l.lanes[1:] {
		all = append(all, w)
	}
	return all
}

// resend sends a frame by packet socket. It gives the queue time to drain.
func (l *Link) resend(frame []byte) error {
	l.resending.Lock()
	defer l.resending.Unlock()
	for wait := deviceWait; ; wait *= 2 {
		_, err := l.Link.WriteFrames([][]byte{frame})
		if !errors.Is(err, wire.ErrBusy) || wait > patience {
			return err
		}
		sleep(wait)
	}
}

// Drops implements wire.Link. Frames that still stand on the ring count, too.
func (l *Link) Drops() (uint64, error) {
	n, err := l.Link.Drops()
	for _, w := range l.lanes {
		n += w.stranded.Load()
	}
	return n, err
}

// Close implements wire.Link. Frames that wait on the ring are not sent any
// more.
func (l *Link) Close() error {
	err := l.Link.Close()
	for _, w := range slices.Backward(l.lanes) { // the first owns what the others share
		w.sender.close()
	}
	return err
}
