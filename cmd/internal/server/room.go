package server

import (
	"context"
	"fmt"

	"dormant/cmd/internal/fleet"
)

// When the result stream is said to be nearly full, and until when, in percent
// of its bytes: apart, so that a stream which stays at the bound is said once.
const (
	tightFrom = 80
	tightTo   = 70
)

// room says early that the result stream comes to its end: one that is full
// refuses what agents publish, and no run can end then but by its deadline.
func (s *Server) room(ctx context.Context) {
	info, err := s.results.Info(ctx)
	if err != nil {
		return // as it was; the clearing beside it says that the broker is away
	}
	s.setFault(roomFault, s.tight(info.State.Bytes, uint64(max(info.Config.MaxBytes, 0))))
}

// roomFault is the name of the fault.
const roomFault = "room for results"

// tight returns the fault of a stream with so many bytes of so many, 0 for
// without a bound, and nil while there is room.
func (s *Server) tight(bytes, most uint64) error {
	from := uint64(tightFrom)
	s.mu.Lock()
	if s.faults[roomFault] != "" {
		from = tightTo
	}
	s.mu.Unlock()
	if most == 0 || 100*bytes <= from*most {
		return nil
	}
	return fmt.Errorf("server: stream %s has %d %% of its %d MiB: when it is full, results wait on the disks of the agents, "+
		"and it empties only when runs end: want fewer or smaller jobs at a time", fleet.ResultStream, 100*bytes/most, most>>20)
}
