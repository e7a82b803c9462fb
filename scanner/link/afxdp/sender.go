//go:build linux

package afxdp

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

const (
	// budget is how many frames the kernel sends at one kick in copy mode
	// (TX_BATCH_SIZE). With no more than that on the ring, kernels before 6.17
	// tell exactly how far they got, too.
	budget = 32
	// careFor is how many frames are sent one by one after the device threw one
	// away, so that it is certain which one it was when that happens again.
	careFor = 256
)

// sender sends frames by one socket. One goroutine uses it at a time.
type sender struct {
	*socket
	free []uint64 // slots of the shared memory that nobody uses
	next uint32   // number of the descriptor to be written next
	care int      // frames still to be sent one by one
	// owed holds the frames, one behind the other, that stand on the ring but
	// were reported as not sent; owing is how many they are.
	owed  []byte
	owing int
}

func newSender(s *socket) *sender {
	x := &sender{socket: s, free: make([]uint64, 0, slots), next: s.tx.produced()}
	for i := range uint64(slots) {
		x.free = append(x.free, (slots-1-i)*slotSize)
	}
	return x
}

// write keeps the contract of wire.Link.WriteFrames.
func (s *sender) write(frames [][]byte) (int, error) {
	placed := s.again(frames)
	for {
		n, bad := s.place(frames[placed:min(len(frames), placed+s.burst())])
		placed += n
		before := s.tx.consumed()
		if err := s.kick(); err != nil {
			return s.settle(frames, placed), err
		}
		s.reap()
		switch left := s.waiting(); {
		case placed == len(frames) && (left == 0 || s.zeroCopy):
			return placed, nil
		case bad != nil && left == 0:
			return placed, bad // what stands before the bad frame is sent
		case s.tx.consumed() == before && n == 0:
			return s.settle(frames, placed), wire.ErrBusy
		}
	}
}

// burst returns how many frames may be placed at once.
func (s *sender) burst() int {
	switch {
	case s.zeroCopy:
		return slots
	case s.care > 0:
		s.care--
		return 1
	default:
		return max(0, budget-s.waiting())
	}
}

// place copies frames into free slots and puts them on the ring, as many as
// there is room for. The error is about the frame behind the last placed one.
func (s *sender) place(frames [][]byte) (n int, err error) {
	for n < len(frames) && len(s.free) > 0 {
		frame := frames[n]
		if len(frame) == 0 || len(frame) > slotSize {
			err = fmt.Errorf("afxdp: send: frame of %d bytes: want 1 to %d", len(frame), slotSize)
			break
		}
		addr := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		copy(s.umem[addr:addr+slotSize], frame)
		*(*unix.XDPDesc)(s.tx.at(s.next, sizeofDesc)) = unix.XDPDesc{Addr: addr, Len: uint32(len(frame))}
		s.next++
		n++
	}
	s.tx.setProduced(s.next)
	return n, err
}

// waiting returns how many frames stand on the ring.
func (s *sender) waiting() int { return int(s.next - s.tx.consumed()) }

// kick lets the kernel send from the ring. The error is wire.ErrBusy when the
// device threw a frame away; that one stands on the ring again.
func (s *sender) kick() error {
	before := s.tx.consumed()
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.ENOBUFS, unix.EINTR: // sent, or more to send, or no room: the ring tells
		return nil
	case unix.EBUSY:
		s.repeat(before)
		return wire.ErrBusy
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
		return fmt.Errorf("afxdp: send: %v: %w", errno, wire.ErrLinkDown)
	default:
		return fmt.Errorf("afxdp: send: %w", errno)
	}
}

// repeat puts the frame that the kernel took last, and threw away, on the ring
// again, in a slot of its own: the first one is still on its way back. before
// is how far the kernel had been; it may not yet have told of the last one.
func (s *sender) repeat(before uint32) {
	s.care = careFor
	s.reap()
	last := s.tx.consumed()
	if last != before {
		last--
	}
	if lost := *(*unix.XDPDesc)(s.tx.at(last, sizeofDesc)); last != s.next {
		_, _ = s.place([][]byte{s.umem[lost.Addr : lost.Addr+uint64(lost.Len)]}) // fails only without a free slot
	}
}

// reap takes back the slots that the kernel has done with.
func (s *sender) reap() {
	end := s.done.produced()
	from := s.done.consumed()
	for n := from; n != end; n++ {
		s.free = append(s.free, *(*uint64)(s.done.at(n, sizeofAddr)))
	}
	if from != end {
		s.done.setConsumed(end)
	}
}

// settle returns how many of the first placed frames are sent, and remembers
// those that wait on the ring.
func (s *sender) settle(frames [][]byte, placed int) int {
	sent := max(0, placed-s.waiting())
	s.owed, s.owing = s.owed[:0], placed-sent
	for _, frame := range frames[sent:placed] {
		s.owed = append(s.owed, frame...)
	}
	return sent
}

// again returns how many of frames stand on the ring already: those that were
// reported as not sent, or none when these are others.
func (s *sender) again(frames [][]byte) int {
	owing := s.owing
	if s.owing = 0; owing == 0 || owing > len(frames) {
		return 0
	}
	rest := s.owed
	for _, frame := range frames[:owing] {
		if !bytes.HasPrefix(rest, frame) {
			return 0
		}
		rest = rest[len(frame):]
	}
	if len(rest) > 0 {
		return 0
	}
	return owing
}

// ready reports why no AF_XDP socket can be opened on this host, nil when one
// can.
func ready() error {
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
