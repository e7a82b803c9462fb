//go:build linux

package afxdp

import (
	"fmt"

	"dormant/scanner/link/afpacket"
	"dormant/scanner/wire"
)

// Link sends by AF_XDP and reads by packet sockets. It implements wire.Link.
type Link struct {
	*afpacket.Link // for all but sending
	sender         *sender
}

var _ wire.Link = (*Link)(nil)

// Config is what a Link may do.
type Config struct {
	// ZeroCopy lets the network card read frames from this process's memory.
	// Few drivers can, and most of them reset the queue for it.
	ZeroCopy bool
}

// Ready returns why no link can be opened on this host, nil when one can as far
// as the host is concerned.
func Ready() error { return ready() }

// Open opens the link that spec describes in the network namespace of the
// calling thread. It can wait a second for a queue that is in use. The error
// is ErrUnsupported on anything but Ethernet, and wire.ErrPrivilege for a
// missing privilege; whatever it is, afpacket may still work.
func Open(spec wire.LinkSpec, cfg Config) (*Link, error) {
	if spec.Medium != wire.Ethernet {
		return nil, fmt.Errorf("%w: %s has no Ethernet header", ErrUnsupported, spec.Name)
	}
	s, err := openSocket(spec.Index, 0, cfg.ZeroCopy)
	if err != nil {
		return nil, fmt.Errorf("%w (interface %s)", err, spec.Name)
	}
	reader, err := afpacket.Open(spec)
	if err != nil {
		s.close()
		return nil, err
	}
	return &Link{Link: reader, sender: newSender(s)}, nil
}

// WriteFrames implements wire.Link.
func (l *Link) WriteFrames(frames [][]byte) (int, error) { return l.sender.write(frames) }

// Close implements wire.Link. Frames that wait on the ring are not sent any
// more.
func (l *Link) Close() error {
	err := l.Link.Close()
	if l.sender != nil {
		l.sender.close()
		l.sender = nil
	}
	return err
}
