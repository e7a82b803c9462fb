package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
)

// subscribe listens to agents and to local commands until ctx ends.
func (s *Server) subscribe(ctx context.Context, group *sync.WaitGroup) error {
	for _, l := range []struct {
		subject string
		handle  func(context.Context, *nats.Msg)
	}{
		{"dormant.beat.*.*.*", s.beat},
		{"dormant.hello.*.*.*", s.hello},
		{operatorSubject + ".*", func(ctx context.Context, m *nats.Msg) {
			group.Go(func() { s.operate(ctx, m) }) // ends with the request, operateWithin at most
		}},
	} {
		sub, err := s.cfg.Conn.SubscribeSync(l.subject)
		if err != nil {
			return fmt.Errorf("server: subscribe to %s: %w", l.subject, err)
		}
		group.Go(func() { // ends with ctx, or with the connection
			defer sub.Unsubscribe() //nolint:errcheck // a connection that is closed has none
			for {
				m, err := sub.NextMsgWithContext(ctx)
				switch {
				case err == nil:
					l.handle(ctx, m)
				case errors.Is(err, nats.ErrSlowConsumer):
					s.log.WarnContext(ctx, "messages came faster than they could be read", "subject", l.subject)
				default:
					return
				}
			}
		})
	}
	flush, cancel := context.WithTimeout(ctx, operateWithin)
	defer cancel()
	if err := s.cfg.Conn.FlushWithContext(flush); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// beat takes in that an agent is there. What cannot be read says nothing.
func (s *Server) beat(ctx context.Context, m *nats.Msg) {
	o, err := s.origin(m.Subject)
	if err != nil {
		s.log.DebugContext(ctx, "a beat is passed over", "why", err)
		return
	}
	b, err := fleet.DecodeSmall[fleet.Beat](m.Data)
	if err != nil {
		s.log.DebugContext(ctx, "a beat is passed over", "agent", o.Agent, "why", reports.Line(err.Error()))
		return
	}
	if s.presence.take(o, b, s.now()) {
		s.log.WarnContext(ctx, "two agents work by one name: its credential was copied, want a token of its own for one of them", "agent", o.Agent, "place", o.Place)
	}
}

// origin is who sent a message by that subject, at a place of the jobs file.
func (s *Server) origin(subject string) (fleet.Origin, error) {
	o, err := fleet.ParseSubject(subject)
	if err != nil {
		return o, err
	}
	for _, p := range s.cfg.Jobs.Places() {
		if p == o.Place {
			return o, nil
		}
	}
	return o, fmt.Errorf("server: place %s is not in the server's jobs file", o.Place)
}

// hello tells an agent the time, and whether it is welcome.
func (s *Server) hello(ctx context.Context, m *nats.Msg) {
	welcome := fleet.Welcome{Version: fleet.Version, Program: s.cfg.Program, Now: s.now()}
	o, err := s.origin(m.Subject)
	var h fleet.Hello
	if err == nil {
		h, err = fleet.DecodeSmall[fleet.Hello](m.Data)
	}
	if err == nil && h.Version != fleet.Version {
		err = fmt.Errorf("server: it speaks version %d of the messages and the agent %d: install the same dormant on both sides (server %s, agent %s)",
			fleet.Version, h.Version, reports.Line(s.cfg.Program), reports.Line(h.Program[:min(len(h.Program), 64)]))
	}
	if !repliesTo(m.Reply, o.Agent) {
		// The server would publish there on behalf of whoever named it.
		s.log.WarnContext(ctx, "a hello is passed over: its answer was to go elsewhere", "agent", o.Agent)
		return
	}
	if err != nil {
		welcome.Refused = strings.TrimPrefix(err.Error(), "server: ")
		s.log.WarnContext(ctx, "an agent is refused", "subject", reports.Line(m.Subject), "why", reports.Line(err.Error()))
	}
	data, err := fleet.EncodeSmall(welcome)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.log.WarnContext(ctx, "an agent gets no answer", "agent", o.Agent, "error", err)
	}
}

// repliesTo reports whether an answer there reaches the agent and nobody else:
// its own inbox, or what the broker puts in place of one for another account.
func repliesTo(reply, agent string) bool {
	return strings.HasPrefix(reply, fleet.Inbox(agent)+".") || strings.HasPrefix(reply, "_R_.")
}
