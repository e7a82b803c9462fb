package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/fleet"
)

// operatorSubject is where local commands ask. No agent may publish there.
const operatorSubject = "dormant.operator"

// operateWithin bounds one request of a local command.
const operateWithin = 30 * time.Second

// answer is what a local command gets.
type answer struct {
	Fault  string        `json:"fault,omitempty"`
	Status *fleet.Status `json:"status,omitempty"`
	Count  int           `json:"count,omitempty"`
}

// operate does what a local command asks for.
func (s *Server) operate(ctx context.Context, m *nats.Msg) {
	verb, body := strings.TrimPrefix(m.Subject, operatorSubject+"."), string(m.Data)
	ctx, cancel := context.WithTimeout(ctx, operateWithin)
	defer cancel()
	var a answer
	var err error
	switch verb {
	case "status":
		status := s.Status()
		a.Status = &status
	case "start":
		err = s.Start(ctx, body)
	case "requeue":
		a.Count, err = s.Requeue(ctx, body)
	default:
		err = fmt.Errorf("server: request %q is not known here", verb)
	}
	if err != nil {
		a.Fault = err.Error()
	}
	data, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		s.log.WarnContext(ctx, "a local command gets no answer", "request", verb, "error", err)
	}
}

// ErrTwo is wrapped by what Run returns where another server is at work.
var ErrTwo = errors.New("another server works with this broker, and each would drop what the other gives out: want one")

// aloneWithin is how long another server may take to answer. One that was killed
// may be asked, too, until the broker notices, and says nothing.
const aloneWithin = 3 * time.Second

// alone returns ErrTwo if another server works with the same streams. The broker
// in this process has a folder that is locked; a cluster knows no such thing.
func (s *Server) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aloneWithin)
	defer cancel()
	if _, err := s.cfg.Conn.RequestWithContext(ctx, operatorSubject+".status", nil); err == nil {
		return fmt.Errorf("server: %w", ErrTwo)
	}
	return nil
}

// Operator asks a running server, by a connection with all permissions.
type Operator struct{ Conn *nats.Conn }

// Status returns what the server knows.
func (o Operator) Status(ctx context.Context) (fleet.Status, error) {
	a, err := o.ask(ctx, "status", "")
	switch {
	case err != nil:
		return fleet.Status{}, err
	case a.Status == nil:
		return fleet.Status{}, errors.New("server: its answer holds no status")
	}
	return *a.Status, nil
}

// Start starts a job.
func (o Operator) Start(ctx context.Context, job string) error {
	_, err := o.ask(ctx, "start", job)
	return err
}

// Requeue has dead shards done again, those of a run or, where run is empty, all;
// it returns how many.
func (o Operator) Requeue(ctx context.Context, run string) (int, error) {
	a, err := o.ask(ctx, "requeue", run)
	return a.Count, err
}

func (o Operator) ask(ctx context.Context, verb, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, operateWithin)
	defer cancel()
	var a answer
	m, err := o.Conn.RequestWithContext(ctx, operatorSubject+"."+verb, []byte(body))
	if errors.Is(err, nats.ErrNoResponders) {
		return a, errors.New("server: none is running with this broker")
	}
	if err != nil {
		return a, fmt.Errorf("server: %w", err)
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("server: its answer: %w", err)
	}
	if a.Fault != "" {
		return a, errors.New(a.Fault)
	}
	return a, nil
}
