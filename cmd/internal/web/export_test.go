package web

import "time"

// SetClock gives the server another clock.
func (s *Server) SetClock(now func() time.Time) { s.now = now }

// Local is local.
func Local(next string) string { return local(next) }
