package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dormant/reports"
)

const (
	// firstDelay and longestDelay bound the waits between two tries to connect.
	firstDelay   = 250 * time.Millisecond
	longestDelay = 30 * time.Second
	// dialWithin bounds one try with one address.
	dialWithin = 10 * time.Second
)

// Options say where to connect, and as whom. The zero value of a field is
// "not given".
type Options struct {
	// URLs are those of a cluster: nats://HOST:PORT, tls://, ws:// or wss://. One
	// may carry user:password. Required, except for Server.Dial and DialLocal.
	URLs []string
	// Name is what the broker's log calls the connection.
	Name string
	// Creds is a file of a JWT and its seed, NKey one of a seed alone.
	Creds, NKey string
	// CA is a file of certificates in PEM form; Cert and Key are one's own.
	CA, Cert, Key string
	// TLS is used instead of CA, Cert and Key.
	TLS *tls.Config
	// TLSFirst is what brokers of ours want: TLS before anything else.
	TLSFirst bool
	// Inbox is the prefix of answers, see fleet.Inbox.
	Inbox string
	// User goes along without a password; see fleet.EnrollInbox.
	User string
	// Wait makes Dial return at once if no broker is there, and go on trying.
	Wait bool
	// Closed is called once if the connection is given up for good: the broker
	// refuses this peer. It is called from a goroutine of NATS's.
	Closed func(error)
	Log    *slog.Logger

	inProcess      nats.InProcessConnProvider
	user, password string
}

// Dial connects, and keeps connected until the caller closes the connection: a
// broker that is away is tried again for ever, with waits that grow and differ.
// While it is away nothing is kept: publishing fails at once.
//
// The error of Dial, and what Closed is told, is one line without a password.
// Refused tells whether the broker does not want this peer.
func Dial(ctx context.Context, o Options) (*nats.Conn, error) {
	if o.Log == nil {
		return nil, errors.New("broker: dial: want a log")
	}
	servers, err := o.servers()
	if err != nil {
		return nil, err
	}
	away := &absence{o: &o, told: map[string]bool{}}
	options, err := o.nats(away)
	if err != nil {
		return nil, err
	}
	type result struct {
		conn *nats.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with the first try, at the latest after dialWithin for each address
		conn, err := nats.Connect(servers, options...)
		away.conn.Store(conn)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, o.failed(r.err)
		}
		return r.conn, nil
	case <-ctx.Done(): // of the first try only: the connection outlives ctx
		go func() { // ends with the one above
			if r := <-done; r.err == nil {
				r.conn.Close()
			}
		}()
		return nil, o.failed(ctx.Err())
	}
}

// failed words a fault: where to, and why, and never a password. A certificate
// whose time has not come or is over is named with the time of this machine,
// which is as often what is wrong.
func (o *Options) failed(err error) error {
	where := "the broker of this process"
	if o.inProcess == nil {
		var all []string
		for _, s := range o.URLs {
			all = append(all, redacted(s))
		}
		where = strings.Join(all, ", ")
	}
	c, ok := errors.AsType[x509.CertificateInvalidError](err)
	if ok && c.Reason == x509.Expired || strings.Contains(err.Error(), alertExpired) {
		return fmt.Errorf("broker: %s: %w: want the right time in the clocks of this machine and of the server", where, err)
	}
	return fmt.Errorf("broker: %s: %w", where, err)
}

// alertExpired is how crypto/tls words what a server says of a certificate that
// has run out by its clock, or whose time has not come.
const alertExpired = "remote error: tls: expired certificate"

func redacted(s string) string {
	if u, err := url.Parse(s); err == nil && !strings.Contains(s, ",") {
		return reports.Line(u.Redacted())
	}
	return "an address that is none"
}

// servers checks the addresses and joins them as NATS wants them.
func (o *Options) servers() (string, error) {
	if o.inProcess != nil {
		return "", nil
	}
	if len(o.URLs) == 0 {
		return "", errors.New("broker: want the address of a broker")
	}
	for _, s := range o.URLs {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || strings.Contains(s, ",") {
			return "", fmt.Errorf("broker: %s: want nats://HOST:PORT or tls://HOST:PORT", redacted(s))
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return "", fmt.Errorf("broker: %s: want nats://, tls://, ws:// or wss://", redacted(s))
		}
	}
	return strings.Join(o.URLs, ","), nil
}

func (o *Options) nats(away *absence) ([]nats.Option, error) {
	all := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(tries int) time.Duration {
			away.look()
			return delay(tries)
		}),
		nats.ReconnectBufSize(-1),
		nats.Timeout(dialWithin),
		nats.PingInterval(20 * time.Second),
		nats.MaxPingsOutstanding(3),
		nats.RetryOnFailedConnect(o.Wait),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn("the broker is away", "error", err)
			}
			away.begin()
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { away.failed(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { o.Log.Info("the broker is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Log.Warn("the broker objects", "error", err)
		}),
		nats.ClosedHandler(func(c *nats.Conn) {
			if err := c.LastError(); err != nil && o.Closed != nil {
				o.Closed(o.failed(err))
			}
		}),
	}
	if o.Inbox != "" {
		all = append(all, nats.CustomInboxPrefix(o.Inbox))
	}
	if o.inProcess != nil {
		return append(all, nats.InProcessServer(o.inProcess), nats.UserInfo(o.user, o.password)), nil
	}
	if o.User != "" {
		all = append(all, nats.UserInfo(o.User, ""))
	}
	if o.Creds != "" {
		all = append(all, nats.UserCredentials(o.Creds))
	}
	if o.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("broker: nkey %s: %w", o.NKey, err)
		}
		all = append(all, key)
	}
	return append(all, o.tls()...), nil
}

func (o *Options) tls() (all []nats.Option) {
	switch {
	case o.TLS != nil:
		all = append(all, nats.Secure(o.TLS))
	default:
		if o.CA != "" {
			all = append(all, nats.RootCAs(o.CA))
		}
		if o.Cert != "" {
			all = append(all, nats.ClientCert(o.Cert, o.Key))
		}
	}
	if o.TLSFirst {
		all = append(all, nats.TLSHandshakeFirst())
	}
	return all
}

// delay is the wait before a try: it doubles, and is cut by chance to between a
// half and the whole, so that agents do not come back all at once.
func delay(tries int) time.Duration {
	d := longestDelay
	if tries < 8 {
		d = min(longestDelay, firstDelay<<max(0, tries-1))
	}
	return d/2 + rand.N(d/2)
}

// Refused tells whether err says that the broker does not want this peer, or is
// not the one that was to be dialled: trying again does not help.
func Refused(err error) bool {
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" { // an alert of TLS
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}
