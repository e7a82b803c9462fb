package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConnections = 200
	maxBody        = 64 << 10         // bytes of a form; ours have some hundred
	pageTime       = 30 * time.Second // to make and send a page
	writeTime      = 30 * time.Second // for the next piece of a download to be taken
	endTime        = 5 * time.Second  // for what is under way when the server ends
	maxDownloads   = 4                // at a time: XLSX and HTML hold what they write
)

// Server is the page. It is an http.Handler; Run serves it.
type Server struct {
	config    Config
	pages     *pages
	handler   http.Handler
	sessions  *sessions
	attempts  *attempts
	seal      seal
	cross     *http.CrossOriginProtection
	counted   counted
	downloads chan struct{} // a place for each that is under way
	now       func() time.Time
}

// New returns the page, or why it cannot be served like that, in one line.
// Nothing listens before Run.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p, err := loadPages()
	if err != nil {
		return nil, err
	}
	cross, err := ownOrigin(c.Public)
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: c, pages: p, sessions: newSessions(), attempts: newAttempts(), seal: newSeal(), cross: cross,
		downloads: make(chan struct{}, maxDownloads), now: time.Now,
	}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run listens until ctx ends, and lets what is under way end then.
func (s *Server) Run(ctx context.Context) error {
	if s.config.Listen == "" {
		return errors.New("web: no address to listen on")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("web: --web: %w", err)
	}
	if s.config.Ready != nil {
		s.config.Ready(l.Addr())
	}
	l = netutil.LimitListener(l, maxConnections)
	if s.config.TLS != nil {
		t := s.config.TLS.Clone()
		t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
		t.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, t)
	}
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      pageTime, // a download sets its own as it goes
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("web: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		err = srv.Close() // what did not end in time is cut
		<-served
		return err
	}
	<-served
	return nil
}
