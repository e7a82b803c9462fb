package fingerprint

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// errRoom ends the reading of a peer that sends more than we take.
var errRoom = errors.New("fingerprint: read limit reached")

// errSelf is a connection of a port to itself: on loopback the kernel may pick
// the asked port as the source, and the handshake meets itself.
var errSelf = errors.New("fingerprint: connected to itself")

// errnos are one system's numbers of what comes back over the network. Every
// other error of a connect is a fault of this side.
type errnos struct {
	refused []syscall.Errno // a reset instead of a handshake
	reset   []syscall.Errno // a reset after it
	silent  []syscall.Errno // nobody answered, or a router said that nobody is there
}

// dialEnd is what an error of a connect says about the peer; false when it
// says something about this side.
func dialEnd(err error) (End, bool) {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch known := networkErrnos(); {
	case errors.Is(err, errSelf):
		return EndRefused, true
	case isErrno && slices.Contains(known.refused, errno):
		return EndRefused, true
	case isErrno && slices.Contains(known.reset, errno): // it took the connection and dropped it before we looked
		return EndRst, true
	case isErrno && slices.Contains(known.silent, errno):
		return EndNoConn, true
	case isErrno:
		return "", false
	default:
		return EndNoConn, errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || isTimeout(err)
	}
}

// isTimeout reports the error of a net.Dialer whose time was over.
func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// talkEnd is what an error of a read or a write says about the peer, with the
// words for people where the end does not say it all.
func talkEnd(err error) (End, string) {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch known := networkErrnos(); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
		return EndFin, ""
	case errors.Is(err, errRoom):
		return EndCut, ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndTimeout, ""
	case isErrno && (slices.Contains(known.reset, errno) || slices.Contains(known.refused, errno)):
		return EndRst, ""
	case isErrno:
		return EndTimeout, reason(err) // the path broke while we talked
	default:
		return EndFin, reason(err) // TLS: an alert, or an end without one
	}
}

// reason is the error without the addresses that package net puts before it.
func reason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	return err.Error()
}
