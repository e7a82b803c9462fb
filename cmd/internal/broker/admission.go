package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/fleet"
)

// The names of those that may do everything. They only come in process.
const (
	ownUser   = "server"
	localUser = "operator"
)

const (
	// maxStrangers bounds the connections that only may ask to be enrolled.
	maxStrangers = 16
	// strangerRate is how many of them may come in a second.
	strangerRate = 5
	// maxOfOne bounds the connections of one agent: its oldest is cut for one
	// more, so that an agent is never locked out by what it left behind.
	maxOfOne = 8
	// answerWithin is how long the answers to one pull may take. It is above every
	// wait of an agent: what comes later is lost, and given out again.
	answerWithin = 10 * time.Minute
)

// admission decides about connections and remembers those that it let in.
type admission struct {
	gate       Gate
	own, local string
	log        *slog.Logger

	mu        sync.Mutex
	nats      *server.Server
	live      map[uint64]admitted // by NATS's number of the connection
	strangers *rate.Limiter
	lines     *rate.Limiter
}

// admitted is one connection from outside.
type admitted struct {
	peer Peer
	id   Identity
}

var _ server.Authentication = (*admission)(nil)

// begin makes the admission that of n, which has no connection yet.
func (a *admission) begin(n *server.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nats, a.live = n, map[uint64]admitted{}
	a.strangers = rate.NewLimiter(strangerRate, maxStrangers)
	a.lines = rate.NewLimiter(rate.Every(10*time.Second), 10)
}

// share exports the services of the server's account.
func (a *admission) share(n *server.Server) error {
	for _, s := range fleet.Services() {
		kind := server.Singleton
		if s.Streamed {
			kind = server.Streamed
		}
		err := n.GlobalAccount().AddServiceExportWithResponse(s.Subject, kind, nil)
		if err == nil {
			err = n.GlobalAccount().SetServiceExportResponseThreshold(s.Subject, answerWithin)
		}
		if err != nil {
			return fmt.Errorf("export %s: %w", s.Subject, err)
		}
	}
	return nil
}

// Check is called by NATS when a peer has said who it is.
func (a *admission) Check(c server.ClientAuthentication) bool {
	user, err := a.admit(c)
	if err != nil {
		a.refused(c, err)
		return false
	}
	c.RegisterUser(user)
	return true
}

func (a *admission) refused(c server.ClientAuthentication, err error) {
	if a.mayLog() {
		a.log.Warn("a connection was refused", "from", c.RemoteAddress(), "error", err)
	}
}

// mayLog lets a trickle of lines through: who wants to fill a log finds no more.
func (a *admission) mayLog() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines.Allow()
}

func (a *admission) admit(c server.ClientAuthentication) (*server.User, error) {
	opts := c.GetOpts()
	if c.RemoteAddress() != nil && c.RemoteAddress().Network() == "pipe" { // net.Pipe: in process
		if same(opts.Username, ownUser) && same(opts.Password, a.own) ||
			a.local != "" && same(opts.Username, localUser) && same(opts.Password, a.local) {
			return &server.User{Username: opts.Username}, nil
		}
		return nil, errors.New("broker: a local connection without the secret")
	}
	state := c.GetTLSConnectionState()
	if state == nil || a.gate == nil || c.Kind() != server.CLIENT {
		return nil, errors.New("broker: a connection without TLS")
	}
	peer := Peer{User: opts.Username, Addr: c.RemoteAddress()}
	if len(state.PeerCertificates) > 0 {
		if len(state.VerifiedChains) == 0 {
			return nil, errors.New("broker: a certificate that was not verified")
		}
		peer.Certificate = state.PeerCertificates[0]
	}
	return a.welcome(c.GetID(), peer)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// welcome asks the gate, and makes room and an account for the peer.
func (a *admission) welcome(number uint64, peer Peer) (*server.User, error) {
	id, err := a.gate.Admit(peer)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.makeRoom(peer.Certificate, id.Name); err != nil {
		return nil, err
	}
	account, err := a.account(id)
	if err != nil {
		return nil, err
	}
	a.live[number] = admitted{peer, id}
	return &server.User{
		Username: id.Name,
		Account:  account,
		Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: id.Permissions.Publish},
			Subscribe: &server.SubjectPermission{Allow: id.Permissions.Subscribe},
		},
		ConnectionDeadline: id.Until,
	}, nil
}

// makeRoom bounds the connections of strangers, and those of one name.
func (a *admission) makeRoom(cert *x509.Certificate, name string) error {
	var same []uint64
	oldest := uint64(0)
	for number, other := range a.live {
		if a.nats.GetClient(number) == nil {
			delete(a.live, number)
		} else if other.id.Name == name {
			same = append(same, number)
			if oldest == 0 || number < oldest {
				oldest = number
			}
		}
	}
	switch {
	case cert == nil && (len(same) >= maxStrangers || !a.strangers.Allow()):
		return errors.New("broker: too many want to be enrolled at once: try again in a minute")
	case cert != nil && len(same) >= maxOfOne:
		delete(a.live, oldest)
		go a.nats.DisconnectClientByID(oldest) //nolint:errcheck // ends at once; Check holds locks of NATS's
	}
	return nil
}

// account returns the account of the identity, made when it first comes. Its
// name tells what it imports: an agent of another site by now gets another one.
func (a *admission) account(id Identity) (*server.Account, error) {
	sum := sha256.Sum256([]byte(strings.Join(id.Permissions.Publish, "\n")))
	name := "agent-" + id.Name + "-" + hex.EncodeToString(sum[:8])
	if account, err := a.nats.LookupAccount(name); err == nil {
		return account, nil
	}
	account, err := a.nats.RegisterAccount(name)
	if err != nil {
		return nil, fmt.Errorf("broker: account %s: %w", name, err)
	}
	for _, subject := range id.Permissions.Publish {
		if err := account.AddServiceImport(a.nats.GlobalAccount(), subject, subject); err != nil {
			return nil, fmt.Errorf("broker: account %s: import %s: %w", name, subject, err)
		}
	}
	return account, nil
}

// look asks the gate again about every connection, and cuts those that are
// refused or somebody else by now.
func (a *admission) look() {
	a.mu.Lock()
	nats, live := a.nats, make(map[uint64]admitted, len(a.live))
	for number, c := range a.live {
		if nats.GetClient(number) == nil {
			delete(a.live, number)
			continue
		}
		live[number] = c
	}
	a.mu.Unlock()
	for number, c := range live {
		id, err := a.gate.Admit(c.peer)
		switch {
		case err != nil && !errors.Is(err, ErrRefused):
			if a.mayLog() { // it is looked at every second
				a.log.Error("it cannot be seen who may be connected", "name", c.id.Name, "error", err)
			}
			continue
		case err != nil:
		case !reflect.DeepEqual(id.Permissions, c.id.Permissions):
			err = errors.New("broker: its permissions have changed")
		default:
			continue
		}
		a.log.Warn("a connection was cut", "name", c.id.Name, "from", c.peer.Addr, "error", err)
		if err := nats.DisconnectClientByID(number); err != nil {
			a.log.Debug("it had gone already", "name", c.id.Name, "error", err)
		}
	}
}
