package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/fleet"
)

const (
	// maxRequest bounds a request, in bytes. One has some 500.
	maxRequest = 8 << 10
	// serveRate is how many requests are answered in a second.
	serveRate = 10
	// renewEvery is the least time between two certificates of one agent.
	renewEvery = time.Minute
	// maxPrevious are kept for an agent whose answers are lost again and again: the
	// one that it surely has, and the newest.
	maxPrevious = 4
)

// enrollRequest is what is published to fleet.EnrollSubject, and, without a
// secret, to fleet.RenewSubject.
type enrollRequest struct {
	Version int    `json:"version"`
	Secret  []byte `json:"secret,omitempty"`
	CSR     []byte `json:"csr"` // PKCS #10, DER
}

// enrollReply is the answer: a fault, or everything else.
type enrollReply struct {
	Version     int      `json:"version"`
	Fault       string   `json:"fault,omitempty"`
	Agent       string   `json:"agent,omitempty"`
	Site        string   `json:"site,omitempty"`
	Vantages    []string `json:"vantages,omitempty"`
	Certificate []byte   `json:"certificate,omitempty"` // DER
}

// Serve answers those who want to be enrolled, and agents who renew their
// certificates, until ctx ends. conn is one that may do everything, of the
// embedded broker.
func (a *Authority) Serve(ctx context.Context, conn *nats.Conn, log *slog.Logger) error {
	requests := make(chan *nats.Msg, 64)
	for _, subject := range []string{fleet.EnrollSubject, fleet.RenewSubject("*")} {
		sub, err := conn.ChanSubscribe(subject, requests) // what does not fit is dropped, and asked again
		if err != nil {
			return fmt.Errorf("enroll: subscribe: %w", err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	}
	if err := conn.FlushTimeout(answerWithin); err != nil {
		return fmt.Errorf("enroll: subscribe: %w", err)
	}
	limit := rate.NewLimiter(serveRate, serveRate)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			if limit.Wait(ctx) != nil {
				return nil
			}
			a.serve(m, log)
		}
	}
}

// fault is what the other side is told. Anything else is told to the log alone.
type fault struct{ text string }

func (f *fault) Error() string { return f.text }

func (a *Authority) serve(m *nats.Msg, log *slog.Logger) {
	// An answer goes where a request from another account leads to, and nowhere
	// else: it is published with the server's permissions.
	if !strings.HasPrefix(m.Reply, "_R_.") {
		log.Warn("a request to be enrolled names a foreign subject for its answer", "reply", m.Reply)
		return
	}
	agent, der, err := a.answer(m, time.Now())
	reply := enrollReply{Version: fleet.Version, Certificate: der}
	if err != nil {
		reply.Fault = "the server could not do it: see its log"
		if f, ok := errors.AsType[*fault](err); ok {
			reply.Fault = f.text
		}
		log.Warn("a certificate was refused", "subject", m.Subject, "error", err)
	} else {
		reply.Agent, reply.Site, reply.Vantages = agent.ID, agent.Site, agent.Vantages
		log.Info("a certificate was signed", "agent", agent.ID, "site", agent.Site, "vantages", agent.Vantages, "ends", agent.Ends)
	}
	data, err := json.Marshal(reply)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		log.Warn("the answer to a request to be enrolled is lost", "error", err)
	}
}

func (a *Authority) answer(m *nats.Msg, now time.Time) (*Agent, []byte, error) {
	var q enrollRequest
	if len(m.Data) > maxRequest || json.Unmarshal(m.Data, &q) != nil {
		return nil, nil, &fault{"the request cannot be read"}
	}
	if q.Version != fleet.Version {
		return nil, nil, &fault{fmt.Sprintf("the agent speaks version %d of the protocol, the server %d: use the same release", q.Version, fleet.Version)}
	}
	if id, ok := strings.CutPrefix(m.Subject, fleet.RenewSubject("")); ok {
		return a.renew(id, q.CSR, now)
	}
	return a.enroll(&q, now)
}

// enroll turns a token into a certificate. The token ends last: a request that
// cannot be signed, or a disk that is full, does not cost it.
func (a *Authority) enroll(q *enrollRequest, now time.Time) (agent *Agent, der []byte, err error) {
	public, err := requestedKey(q.CSR)
	if err != nil {
		return nil, nil, &fault{err.Error()}
	}
	err = a.locked(func() error {
		t, err := a.findToken(q.Secret, now)
		if err == nil {
			err = a.vacant(t)
		}
		if err != nil {
			return err
		}
		r := &record{Agent: Agent{ID: t.Agent, Site: t.Site, Vantages: t.Vantages, Enrolled: now.UTC().Truncate(time.Second)}}
		cert, err := a.self.agent(public, &r.Agent, now)
		if err != nil {
			return err
		}
		r.Serial, r.Renewed, r.Ends = serialOf(cert), r.Enrolled, cert.NotAfter
		if err := a.writeAgent(r); err != nil {
			return fmt.Errorf("enroll: agent %s: %w", t.Agent, err)
		}
		agent, der = &r.Agent, cert.Raw
		return os.Remove(a.tokenFile(t.Hash))
	})
	if err != nil {
		return nil, nil, err
	}
	return agent, der, nil
}

// vacant refuses a token for a name that another one was used for meanwhile:
// the agent that has it would be locked out without a word.
func (a *Authority) vacant(t *token) error {
	r, err := a.readAgent(t.Agent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case r.Revoked.IsZero() && !t.Replace:
		return &fault{fmt.Sprintf("agent %s is enrolled already, by another token: ask for one with another name, or with --replace", t.Agent)}
	}
	return nil
}

// renew signs a new certificate for an agent that the broker has let publish on
// its own subject, so that it is the agent.
func (a *Authority) renew(id string, csr []byte, now time.Time) (agent *Agent, der []byte, err error) {
	if err := fleet.CheckName("agent", id); err != nil {
		return nil, nil, err
	}
	public, err := requestedKey(csr)
	if err != nil {
		return nil, nil, &fault{err.Error()}
	}
	err = a.changeAgent(id, func(r *record) error {
		switch {
		case !r.Revoked.IsZero():
			return &fault{"the agent was revoked"}
		case now.Sub(r.Renewed) < renewEvery && now.After(r.Renewed):
			return &fault{"the certificate was signed a moment ago"}
		}
		cert, err := a.self.agent(public, &r.Agent, now)
		if err != nil {
			return err
		}
		r.Previous = append(r.Previous, r.Serial)
		if len(r.Previous) > maxPrevious {
			r.Previous = slices.Delete(r.Previous, 1, 2)
		}
		r.Serial, r.Renewed, r.Ends = serialOf(cert), now.UTC(), cert.NotAfter
		agent, der = &r.Agent, cert.Raw
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = &fault{"the agent is not enrolled here"}
	}
	return agent, der, err
}
