package broker

import (
	"crypto/x509"
	"errors"
	"net"
	"time"

	"dormant/cmd/internal/fleet"
)

// Peer is one that wants to connect.
type Peer struct {
	// Certificate is what it proved to have the key of. It was verified against
	// tls.Config.ClientCAs. Nil: it gave none.
	Certificate *x509.Certificate
	// User is the name that it gives itself, unproved.
	User string
	Addr net.Addr
}

// Identity is who a peer is, and what it may do.
type Identity struct {
	// Name is that of the agent, or the same for all that are to be enrolled. It
	// names the account.
	Name        string
	Permissions fleet.Permissions
	// Until is when the connection ends by itself. Required.
	Until time.Time
}

// ErrRefused is wrapped by the error of a Gate that knows the peer not to be
// welcome. Any other error means that the gate could not look: then a new peer
// is turned away, and a connection that is there stays.
var ErrRefused = errors.New("refused")

// Gate says who a peer is. Admit is called from several goroutines, once when a
// peer comes and then about every second while its connection lasts: a
// connection that is refused, or is somebody else by now, is cut. It must be
// quick, and not block on the network.
type Gate interface {
	Admit(Peer) (Identity, error)
}
