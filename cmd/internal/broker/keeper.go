package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// lookEvery is how often the broker looks at its connections and its store.
	lookEvery = time.Second
	// startEvery is the least time between two tries to go on.
	startEvery = 5 * time.Second
	// room is how much must be free for a new try, in bytes.
	room = 16 << 20
)

// keep looks after the running broker until ctx ends. NATS stores nothing more
// in a stream that it could not write once, and may shut its whole store; then
// the broker is started anew as soon as there is room, and its connections come
// back by themselves.
func (s *Server) keep(ctx context.Context, a *admission) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var tried time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			a.look()
			if s.sound() || now.Sub(tried) < startEvery {
				continue
			}
			tried = now
			s.startAgain(ctx, a)
		}
	}
}

// sound asks NATS about its store, and sets or clears the fault.
func (s *Server) sound() bool {
	s.mu.Lock()
	n := s.nats
	s.mu.Unlock()
	why := "it is not running"
	if n != nil {
		health := n.Healthz(&server.HealthzOptions{})
		if health.Status == "ok" {
			s.setFault(nil)
			return true
		}
		why = health.Error
	}
	if s.Fault() == nil {
		s.setFault(fmt.Errorf("broker: %s: %s", s.Store(), why))
		s.c.Log.Error("the broker cannot store anything: it goes on when there is room", "error", s.Fault())
	}
	return false
}

// startAgain stops the broker and starts it, if its store can be written.
func (s *Server) startAgain(ctx context.Context, a *admission) {
	if err := s.tryRoom(); err != nil {
		s.setFault(fmt.Errorf("broker: %s: %w", s.Store(), err))
		return
	}
	s.stop()
	if err := s.start(ctx, a); err != nil {
		if ctx.Err() == nil {
			s.setFault(err)
		}
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
