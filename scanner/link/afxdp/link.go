//go:build linux

package afxdp

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dormant/scanner/link/afpacket"
	"dormant/scanner/wire"
)

// Link sends by AF_XDP and reads by packet sockets. It implements wire.Link.
type Link struct {
	*afpacket.Link          // reads, and sends what the device threw away
	queues         []*queue // at least one

	resending sync.Mutex // queues may meet
}

var _ wire.Lanes = (*Link)(nil)

// Config is what a Link may do.
type Config struct {
	// ZeroCopy lets the network card read frames from this process's memory.
	// Few drivers can, and most of them reset the queue for it.
	ZeroCopy bool
	// Queues is by how many queues of the network card to send at the same time,
	// at most: where there are fewer, or some are in use, it is by fewer. 0 is 1.
	Queues int
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
		return fmt.Errorf("afxdp: open a socket: %w", privilege(err))
	}
}

// Open opens the link that spec describes in the network namespace of the
// calling thread. It can wait a second for a queue that is in use. The error
// is ErrUnsupported for an interface that this is not made for, and
// wire.ErrPrivilege for a missing privilege; whatever it is, afpacket may still
// work.
func Open(spec wire.LinkSpec, cfg Config) (*Link, error) {
	if spec.Medium != wire.Ethernet {
		return nil, fmt.Errorf("%w: %s carries no Ethernet", ErrUnsupported, spec.Name)
	}
	if err := suited(spec); err != nil {
		return nil, err
	}
	s, err := openSocket(spec.Index, 0, cfg.ZeroCopy, bindPatience)
	if err != nil {
		return nil, fmt.Errorf("%w (interface %s)", err, spec.Name)
	}
	packets, err := afpacket.Open(spec)
	if err != nil {
		s.close()
		return nil, err
	}
	l := &Link{Link: packets}
	l.queues = []*queue{{sender: newSender(s, l.resend)}}
	for n := 1; n < cfg.Queues; n++ {
		s, err := openSocket(spec.Index, uint32(n), cfg.ZeroCopy, 0)
		if err != nil { // there is no such queue, or somebody has it
			break
		}
		l.queues = append(l.queues, &queue{sender: newSender(s, l.resend)})
	}
	return l, nil
}

// queue is one queue of the network card.
type queue struct {
	sender   *sender
	stranded atomic.Uint64 // frames that stood on the ring when WriteFrames returned
}

// WriteFrames implements wire.Writer.
func (q *queue) WriteFrames(frames [][]byte) (int, error) {
	n, err := q.sender.write(frames)
	if err != nil || q.stranded.Load() > 0 {
		q.stranded.Store(uint64(q.sender.waiting()))
	}
	return n, err
}

// WriteFrames implements wire.Link. A frame counts as taken when it stands on
// the ring. The call waits for room as long as the device takes frames. Frames
// that a stuck device leaves on the ring are sent by a later call, or count as
// dropped.
func (l *Link) WriteFrames(frames [][]byte) (int, error) { return l.queues[0].WriteFrames(frames) }

// Lanes implements wire.Lanes: the queues beside the first.
func (l *Link) Lanes() (all []wire.Writer) {
	for _, q := range l.queues[1:] {
		all = append(all, q)
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
	for _, q := range l.queues {
		n += q.stranded.Load()
	}
	return n, err
}

// Close implements wire.Link. Frames that wait on the ring are not sent any
// more.
func (l *Link) Close() error {
	err := l.Link.Close()
	for _, q := range l.queues {
		q.sender.close()
	}
	return err
}
