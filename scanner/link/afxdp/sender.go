//go:build linux

package afxdp

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

const (
	// deviceWait is how long a device without room is left alone.
	deviceWait = 50 * time.Microsecond
	// patience is how long the ring may stand still before it counts as full.
	patience = 100 * time.Millisecond
	// budget is how many frames the kernel sends at one kick in copy mode
	// (TX_BATCH_SIZE). More at once gained nothing.
	budget = 32
)

// sender sends frames by one socket. One goroutine uses it at a time.
//
// Descriptor n of the ring always describes slot n of the socket's, both modulo
// slots.
type sender struct {
	*socket
	resend func(frame []byte) error // another way out for a frame that the device threw away
	next   uint32                   // number of the descriptor to be written next
}

func newSender(s *socket, resend func([]byte) error) *sender {
	return &sender{socket: s, resend: resend, next: s.tx.produced()}
}

// write puts frames on the ring and lets the kernel send them. It waits as long
// as the device takes some.
func (s *sender) write(frames [][]byte) (int, error) {
	placed, still := 0, time.Duration(0)
	for {
		n, bad := s.place(frames[placed:min(len(frames), placed+budget)])
		placed += n
		progress, err := s.kick()
		switch {
		case err != nil:
			return placed, err
		case bad != nil && s.waiting() == 0:
			return placed, bad
		case placed == len(frames) && (s.queue.zeroCopy || s.waiting() == 0):
			return placed, nil
		case progress || n > 0:
			still = 0
		case still > patience:
			return placed, wire.ErrBusy
		default:
			sleep(deviceWait)
			still += deviceWait
		}
	}
}

// place copies frames into free slots and puts them on the ring, as many as
// there is room for. The error is about the frame behind the last placed one.
func (s *sender) place(frames [][]byte) (n int, err error) {
	for i, frame := range frames {
		if len(frame) == 0 || len(frame) > slotSize {
			err = fmt.Errorf("afxdp: send: frame of %d bytes: want 1 to %d", len(frame), slotSize)
			frames = frames[:i]
			break
		}
	}
	n = s.memory.take(s.first, s.next, len(frames))
	if n < len(frames) {
		err = nil // it is not the turn of the bad one yet
	}
	for _, frame := range frames[:n] {
		slot := s.first + s.next%slots
		copy(s.memory.at(slot), frame)
		*(*unix.XDPDesc)(s.tx.at(s.next, sizeofDesc)) = unix.XDPDesc{Addr: uint64(slot) * slotSize, Len: uint32(len(frame))}
		s.next++
	}
	s.tx.setProduced(s.next)
	return n, err
}

// waiting returns how many frames stand on the ring.
func (s *sender) waiting() uint32 { return s.tx.produced() - s.tx.consumed() }

// kick lets the kernel send from the ring, in copy mode 32 frames at most. It
// reports whether frames were taken.
func (s *sender) kick() (progress bool, err error) {
	before := s.tx.consumed()
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.ENOBUFS, unix.EINTR: // sent, or more to send, or no room: the ring tells
		return s.tx.consumed() != before, nil
	case unix.EBUSY:
		return true, s.again(before)
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
		return false, fmt.Errorf("afxdp: send: %v: %w", errno, wire.ErrLinkDown)
	default:
		return false, fmt.Errorf("afxdp: send: %w", errno)
	}
}

// again sends the frame that the device threw away by the other way: the one
// that the kernel took last. Before was the state of the ring before, in case
// that the kernel has not yet told of it. Kernels before 6.17 tell late, so
// that it can be an earlier one of the batch, sent twice.
func (s *sender) again(before uint32) error {
	n := s.tx.consumed()
	if n != before {
		n--
	}
	d := *(*unix.XDPDesc)(s.tx.at(n, sizeofDesc))
	return s.resend(s.memory.frames[d.Addr : d.Addr+uint64(d.Len)]) // nothing has been placed since
}

// sleep lets time pass without the runtime's timers, which are too coarse and
// too expensive for so short a time.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}
