package broker

import (
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// tellAfter is how many tries may fail before it is said why: a broker that is
// started again is back by then. They take two to four seconds.
const tellAfter = 4

// absence is the time in which a broker is away, and says why: a broker that is
// there, and whose certificate is not to be believed, is away, too.
type absence struct {
	o    *Options
	conn atomic.Pointer[nats.Conn] // nil: not made yet

	mu    sync.Mutex
	tries int
	told  map[string]bool
}

func (a *absence) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries, a.told = 0, map[string]bool{}
}

// look is called before each try. NATS calls back for one that found nobody, and
// of one that failed behind that, in the handshake of TLS, only keeps the error.
func (a *absence) look() {
	if conn := a.conn.Load(); conn != nil && conn.LastError() != nil {
		a.failed(conn.LastError())
	}
}

// failed says why a try did not bring the broker back, each reason once.
func (a *absence) failed(err error) {
	reason := err.Error()
	if op, ok := errors.AsType[*net.OpError](err); ok { // without the port and the time, which differ each time
		reason = op.Err.Error()
	} else if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		reason = "certificate"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tries++; a.tries < tellAfter || a.told[reason] {
		return
	}
	a.told[reason] = true
	a.o.Log.Warn("the broker cannot be connected to: it is tried again", "error", a.o.failed(err))
}
