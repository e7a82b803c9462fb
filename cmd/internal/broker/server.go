package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

const (
	// defaultStore bounds the folder, in bytes: results of some ten million open
	// ports, which wait only while the server is away.
	defaultStore = 4 << 30
	// startWithin bounds a start. One reads the whole store, see keeper.
	startWithin = 2 * time.Minute
	// maxConnections is far above the agents of any organisation.
	maxConnections = 4096
	// handshakeRate is how many TLS handshakes are begun in a second. One costs a
	// signature, which is some 50 µs.
	handshakeRate = 100
)

// Config is that of an embedded broker.
type Config struct {
	// Dir is the folder of the store. It is made if it is not there. Required.
	Dir string
	// MaxStore bounds what is stored, in bytes. Zero: 4 GiB.
	MaxStore int64
	// Listen is the address that agents dial, "host:port". Empty: no port at all.
	Listen string
	// TLS and Gate are required with Listen. TLS must ask for certificates and
	// verify those that are given (tls.VerifyClientCertIfGiven).
	TLS  *tls.Config
	Gate Gate
	// Local is the folder of the socket and the secret by which local commands
	// come in. Empty: they cannot.
	Local string
	Log   *slog.Logger
}

// Server is the embedded broker.
type Server struct {
	c      Config
	host   string
	port   int
	secret string // of connections in process
	local  string // of local commands, "" without

	mu    sync.Mutex
	nats  *server.Server // nil: not running
	fault error
}

// New checks the configuration. It starts nothing.
func New(c Config) (*Server, error) {
	s := &Server{c: c, secret: rand.Text()}
	if c.Dir == "" || c.Log == nil {
		return nil, errors.New("broker: want a folder and a log")
	}
	if c.MaxStore == 0 {
		s.c.MaxStore = defaultStore
	}
	if s.c.MaxStore < 64<<20 {
		return nil, fmt.Errorf("broker: a store of %d bytes: want at least 64 MiB", s.c.MaxStore)
	}
	if c.Listen == "" {
		return s, nil
	}
	if c.Gate == nil || c.TLS == nil || c.TLS.ClientAuth != tls.VerifyClientCertIfGiven || c.TLS.ClientCAs == nil {
		return nil, errors.New("broker: a port wants a gate, and TLS that verifies the certificates of its peers")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("broker: listen on %q: want HOST:PORT: %w", c.Listen, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("broker: listen on %q: want a port from 0 to 65535", c.Listen)
	}
	s.host, s.port = host, int(n)
	if host == "" {
		s.host = server.DEFAULT_HOST
	}
	if n == 0 {
		s.port = server.RANDOM_PORT
	}
	return s, nil
}

// ResultBytes is what the stream of results may take of the store, for Streams:
// three quarters of it, because NATS sets apart what it is told.
func (s *Server) ResultBytes() int64 { return s.c.MaxStore / 4 * 3 }

// options are those of NATS: no monitoring, no signals, no files but the store.
func (s *Server) options(check server.Authentication) *server.Options {
	o := &server.Options{
		ServerName:                 "dormant",
		DontListen:                 s.c.Listen == "",
		Host:                       s.host,
		Port:                       s.port,
		NoSigs:                     true,
		MaxConn:                    maxConnections,
		MaxSubs:                    256,
		MaxPayload:                 fleet.MaxPayload,
		MaxPending:                 32 << 20,
		MaxControlLine:             4096,
		PingInterval:               20 * time.Second,
		MaxPingsOut:                3,
		WriteDeadline:              10 * time.Second,
		AuthTimeout:                5,
		MaxClosedClients:           1,
		JetStream:                  true,
		JetStreamMaxStore:          s.c.MaxStore,
		JetStreamMaxMemory:         64 << 20,
		StoreDir:                   s.c.Dir,
		SyncAlways:                 true,
		DisableJetStreamBanner:     true,
		CustomClientAuthentication: check,
	}
	if s.c.Listen != "" {
		o.TLSConfig = s.c.TLS.Clone()
		o.TLSConfig.SessionTicketsDisabled = true // a certificate is looked at each time
		o.TLS, o.TLSVerify = true, false          // verified where given: see Gate
		o.TLSHandshakeFirst = true                // nothing is said in the clear
		o.TLSTimeout = 5
		handshakes := rate.NewLimiter(handshakeRate, 2*handshakeRate)
		o.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if !handshakes.Allow() {
				return nil, errors.New("broker: too many handshakes at once")
			}
			return nil, nil // the configuration as it is
		}
	}
	return o
}

// Run keeps the broker running until ctx ends, and returns when everything that
// it started has ended. It calls ready once, when peers can connect. It returns
// an error if the broker cannot be started: a port that is taken, a folder that
// cannot be written. A disk that runs full later ends nothing: Fault says so,
// and the broker goes on when there is room.
func (s *Server) Run(ctx context.Context, ready func()) (err error) {
	if err := os.MkdirAll(s.c.Dir, 0o700); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	lock, err := disk.Lock(filepath.Join(s.c.Dir, "lock"))
	if errors.Is(err, disk.ErrLocked) {
		err = errors.New("another server runs on it")
	}
	if err != nil {
		return fmt.Errorf("broker: %s: %w", s.Store(), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if s.c.Local != "" {
		secret, err := localSecret(s.c.Local)
		if err != nil {
			return fmt.Errorf("broker: the secret of local commands: %w", err)
		}
		s.local = secret
	}
	a := &admission{gate: s.c.Gate, own: s.secret, local: s.local, log: s.c.Log}
	if err := s.start(ctx, a); err != nil {
		return err
	}
	defer s.stop()
	door, err := s.openLocal()
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	group.Go(func() { door.serve(ctx, s) }) // ends with ctx
	ready()
	s.keep(ctx, a)
	group.Wait()
	return nil
}

// start starts NATS and waits until it takes connections.
func (s *Server) start(ctx context.Context, a *admission) error {
	n, err := server.NewServer(s.options(a))
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	log := newLogger(s.c.Log)
	n.SetLoggerV2(log, false, false, false)
	a.begin(n)
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var starting sync.WaitGroup
	up := make(chan struct{})
	starting.Go(func() { // ends when the store was read, and connections are taken or ctx is over
		n.Start()
		for ctx.Err() == nil {
			if n.ReadyForConnections(100 * time.Millisecond) {
				close(up)
				return
			}
		}
	})
	select {
	case err = <-log.fatal:
	case <-ctx.Done():
		err = ctx.Err()
	case <-up:
	}
	if err == nil {
		err = a.share(n)
	}
	if err != nil {
		cancel()
		n.Shutdown()
		starting.Wait()
		n.WaitForShutdown()
		return fmt.Errorf("broker: start: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats = n
	return nil
}

func (s *Server) stop() {
	s.mu.Lock()
	n := s.nats
	s.nats = nil
	s.mu.Unlock()
	if n != nil {
		n.Shutdown()
		n.WaitForShutdown()
	}
}

// Addr is where the broker listens, nil without a port or before it is ready.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats == nil || s.c.Listen == "" {
		return nil
	}
	return s.nats.Addr()
}

// Fault says why nothing can be stored at the moment, nil if it can.
func (s *Server) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

func (s *Server) setFault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// InProcessConn makes a Server a nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats == nil {
		return nil, errors.New("broker: not running")
	}
	return s.nats.InProcessConn()
}

// Dial returns a connection that may do everything. The caller closes it.
func (s *Server) Dial(ctx context.Context, o Options) (*nats.Conn, error) {
	o.inProcess, o.user, o.password = s, ownUser, s.secret
	return Dial(ctx, o)
}

// Store is the folder of the store, for what a message to people must name.
func (s *Server) Store() string { return filepath.Clean(s.c.Dir) }
