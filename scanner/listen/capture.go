package listen

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// The bounds of what a capture file may claim, in bytes and interfaces. The
// longest frame is that of libpcap.
const (
	maxFrame      = 1 << 18
	maxBlock      = maxFrame + 1<<16 // of pcapng: a frame with its options
	maxInterfaces = 1 << 12
)

// ReadCapture calls hear for each frame of a pcap or pcapng file, recognised by
// its first bytes, from the calling goroutine. The frame is valid only during
// the call. Errors name the file and the offset. A file that ends in the middle
// of a frame, as a capture that was killed leaves it, is an error after all
// frames before it were handed out; it is io.ErrUnexpectedEOF.
func ReadCapture(ctx context.Context, name string, r io.Reader, hear func(source string, link LinkType, frame []byte, at time.Time)) error {
	c := &capture{name: name, r: bufio.NewReaderSize(r, 1<<16), hear: hear}
	magic, err := c.r.Peek(4)
	if err != nil {
		return fmt.Errorf("listen: %s: not a capture file: it has less than 4 bytes", name)
	}
	if binary.BigEndian.Uint32(magic) == blockSection {
		err = c.pcapng(ctx)
	} else {
		err = c.pcap(ctx)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("listen: %s: byte %d: the file ends in the middle of a record: %w", name, c.at, io.ErrUnexpectedEOF)
	default:
		return fmt.Errorf("listen: %s: byte %d: %w", name, c.at, err)
	}
}

// capture is a file while it is read.
type capture struct {
	name   string
	r      *bufio.Reader
	at     int64 // offset of the record that is read
	order  binary.ByteOrder
	buf    []byte
	ifaces []iface // of the section; pcapng
	hear   func(source string, link LinkType, frame []byte, at time.Time)
}

// iface is one interface of a pcapng section.
type iface struct {
	link   LinkType
	snap   uint32
	units  uint64 // of a timestamp in a second
	offset int64  // seconds to add
}

// fill reads n bytes into the one buffer. io.EOF means that there was not one.
func (c *capture) fill(n int) ([]byte, error) {
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	b := c.buf[:n]
	_, err := io.ReadFull(c.r, b)
	return b, err
}

// pcap reads the classic format: a header of 24 bytes, then records.
func (c *capture) pcap(ctx context.Context) error {
	b, err := c.fill(24)
	if err != nil {
		return err
	}
	units := int64(1e6)
	switch magic := binary.LittleEndian.Uint32(b); magic {
	case 0xa1b2c3d4:
		c.order = binary.LittleEndian
	case 0xa1b23c4d:
		c.order, units = binary.LittleEndian, 1e9
	case 0xd4c3b2a1:
		c.order = binary.BigEndian
	case 0x4d3cb2a1:
		c.order, units = binary.BigEndian, 1e9
	default: // foreign input
		return fmt.Errorf("it begins with %08x: want a pcap or pcapng file", binary.BigEndian.Uint32(b))
	}
	link := LinkType(c.order.Uint32(b[20:]) & 0xffff) // above it: how long the frame check sequence is
	for c.at = 24; ctx.Err() == nil; {
		h, err := c.fill(16)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		sec, frac := int64(c.order.Uint32(h)), int64(c.order.Uint32(h[4:]))
		n := c.order.Uint32(h[8:])
		if n > maxFrame {
			return fmt.Errorf("a frame of %d bytes: want at most %d", n, maxFrame)
		}
		frame, err := c.fill(int(n))
		if err != nil {
			return err
		}
		c.hear(c.name, link, frame, time.Unix(sec, frac*(1e9/units)))
		c.at += 16 + int64(n)
	}
	return nil
}

// The block types of pcapng that are read.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// pcapng reads blocks: a type, a length, the body, the length again.
func (c *capture) pcapng(ctx context.Context) error {
	for ctx.Err() == nil {
		head, err := c.r.Peek(12)
		if len(head) == 0 && err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint32(head) == blockSection {
			switch binary.BigEndian.Uint32(head[8:]) {
			case 0x1a2b3c4d:
				c.order = binary.BigEndian
			case 0x4d3c2b1a:
				c.order = binary.LittleEndian
			default: // foreign input
				return fmt.Errorf("byte order %x of a section: want 1a2b3c4d", head[8:12])
			}
			c.ifaces = c.ifaces[:0]
		}
		length := c.order.Uint32(head[4:])
		if length < 12 || length%4 != 0 || length > maxBlock {
			return fmt.Errorf("a block of %d bytes: want a multiple of 4 from 12 to %d", length, maxBlock)
		}
		b, err := c.fill(int(length))
		if err != nil {
			return err
		}
		if end := c.order.Uint32(b[length-4:]); end != length {
			return fmt.Errorf("a block of %d bytes says at its end %d", length, end)
		}
		if err := c.block(c.order.Uint32(b), b[8:length-4]); err != nil {
			return err
		}
		c.at += int64(length)
	}
	return nil
}

func (c *capture) block(typ uint32, b []byte) error {
	switch typ {
	case blockInterface:
		return c.describe(b)
	case blockEnhanced:
		if len(b) < 20 {
			return fmt.Errorf("an enhanced packet block of %d bytes: want at least 20", len(b))
		}
		return c.packet(c.order.Uint32(b), b[4:], b[20:])
	case blockPacket:
		if len(b) < 20 {
			return fmt.Errorf("a packet block of %d bytes: want at least 20", len(b))
		}
		return c.packet(uint32(c.order.Uint16(b)), b[4:], b[20:])
	case blockSimple: // it has no time, and belongs to the first interface
		if len(b) < 4 || len(c.ifaces) == 0 {
			return errors.New("a simple packet block without a length or an interface")
		}
		n := int(min(c.order.Uint32(b), uint32(len(b)-4)))
		if snap := c.ifaces[0].snap; snap > 0 {
			n = min(n, int(min(snap, maxFrame)))
		}
		c.hear(c.name, c.ifaces[0].link, b[4:4+n], time.Time{})
		return nil
	default: // sections, statistics, names, comments, what is to come
		return nil
	}
}

// packet hands out the frame of a packet block: t is its time in two halves and
// the captured length, data what follows.
func (c *capture) packet(index uint32, t, data []byte) error {
	if index >= uint32(len(c.ifaces)) {
		return fmt.Errorf("a packet of interface %d: the section describes %d", index, len(c.ifaces))
	}
	n := c.order.Uint32(t[8:])
	if uint64(n) > uint64(len(data)) {
		return fmt.Errorf("a frame of %d bytes in a block that has room for %d", n, len(data))
	}
	i := c.ifaces[index]
	c.hear(c.name, i.link, data[:n], i.time(uint64(c.order.Uint32(t))<<32|uint64(c.order.Uint32(t[4:]))))
	return nil
}

// time converts a timestamp. One that no calendar holds is the zero time.
func (i iface) time(stamp uint64) time.Time {
	sec, frac := stamp/i.units, stamp%i.units
	const last = 1 << 36 // about the year 4147: what is beyond it is no time
	if sec > last || i.offset > last || i.offset < -last {
		return time.Time{}
	}
	return time.Unix(int64(sec)+i.offset, int64(float64(frac)/float64(i.units)*1e9+0.5))
}

// describe reads an interface description block and its options.
func (c *capture) describe(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("an interface description of %d bytes: want at least 8", len(b))
	}
	if len(c.ifaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces in a section", maxInterfaces)
	}
	i := iface{link: LinkType(c.order.Uint16(b)), snap: c.order.Uint32(b[4:]), units: 1e6}
	for o := b[8:]; len(o) >= 4; {
		code, n := c.order.Uint16(o), int(c.order.Uint16(o[2:]))
		if code == 0 {
			break
		}
		padded := (n + 3) &^ 3
		if padded > len(o)-4 {
			return fmt.Errorf("option %d of an interface has %d bytes, there are %d", code, n, len(o)-4)
		}
		value := o[4 : 4+n]
		switch {
		case code == 9 && n == 1: // if_tsresol
			i.units = resolution(value[0])
		case code == 14 && n == 8: // if_tsoffset
			i.offset = int64(c.order.Uint64(value))
		}
		o = o[4+padded:]
	}
	if i.units == 0 {
		return errors.New("an interface with a resolution of time beyond 64 bits")
	}
	c.ifaces = append(c.ifaces, i)
	return nil
}

// resolution is how many units make a second: a power of ten, or of two when
// the highest bit is set; 0 for what has no room.
func resolution(v byte) uint64 {
	exp := int(v & 0x7f)
	if v&0x80 != 0 {
		if exp > 63 {
			return 0
		}
		return 1 << exp
	}
	if exp > 19 {
		return 0
	}
	return uint64(math.Round(math.Pow10(exp)))
}
