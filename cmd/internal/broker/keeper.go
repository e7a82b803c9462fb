package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// lookEvery is how often the broker looks at its connections and its store.
	lookEvery = time.Second
	// room is how much must be free for a new try, in bytes.
	room = 16 << 20
)

// keep looks after the running broker until ctx ends. NATS shuts its store when
// it cannot write; then the broker is started anew as soon as there is room, and
// its connections come back by themselves.
func (s *Server) keep(ctx context.Context, a *admission) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.look(time.Now())
			s.lookAtStore(ctx, a)
		}
	}
}

func (s *Server) lookAtStore(ctx context.Context, a *admission) {
	s.mu.Lock()
	n := s.nats
	s.mu.Unlock()
	if n != nil && n.JetStreamEnabled() {
		s.setFault(nil)
		return
	}
	if s.Fault() == nil {
		s.c.Log.Error("the broker cannot store anything: it goes on when there is room", "folder", s.Store())
		s.setFault(fmt.Errorf("broker: %s: NATS has shut its store: is the disk full?", s.Store()))
	}
	if err := s.tryRoom(); err != nil {
		s.setFault(fmt.Errorf("broker: the store is shut: %w", err))
		return
	}
	s.stop()
	if err := s.start(ctx, a); err != nil {
		s.setFault(err)
		return
	}
	s.setFault(nil)
	s.c.Log.Info("the broker stores again", "folder", s.Store())
}

// tryRoom writes and removes a file in the store: it works wherever a store does.
func (s *Server) tryRoom() error {
	path := filepath.Join(s.c.Dir, "room.part")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, room))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}
