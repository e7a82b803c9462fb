package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/reports/history"
)

const (
	maxConnections = 50
	maxScrapes     = 2                // at a time
	scrapeTime     = 10 * time.Second // for what is read from the history
	checkTime      = 5 * time.Second  // for one check of /readyz
)

// Config says what is shown. Status, Store and Log are required.
type Config struct {
	// Listen is the address for Run, host:port.
	Listen string
	// Ready is called by Run with the address that it listens on. It may be nil.
	Ready func(net.Addr)
	// Status returns what the server knows of its fleet.
	Status func() fleet.Status
	Store  Store
	// Checks are what the server cannot be without: broker, database, disk.
	Checks  []Check
	Version string
	Log     *slog.Logger
}

// Check is one thing that must be well for the server to be ready.
type Check struct {
	Name string
	// Check returns why it is not well. It must return when ctx ends.
	Check func(ctx context.Context) error
}

// Store is the part of the history that is counted; *history.Store is one.
type Store interface {
	Places(ctx context.Context) ([]history.Place, error)
	RunsOf(ctx context.Context, f history.RunFilter) ([]history.Run, error)
	Tally(ctx context.Context, run history.Run) (history.Tally, error)
}

// Server answers the three paths. It is an http.Handler; Run serves it.
type Server struct {
	config  Config
	handler http.Handler
}

// New returns the server. Nothing listens before Run.
func New(c Config) (*Server, error) {
	if c.Status == nil || c.Store == nil || c.Log == nil {
		return nil, errors.New("metrics: a Status, a Store and a Log are required")
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		return nil, fmt.Errorf("metrics: --metrics %q: want ADDRESS:PORT such as 127.0.0.1:9470: %w", c.Listen, err)
	}
	r := prometheus.NewRegistry()
	for _, one := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newFleetCollector(&c), newHistoryCollector(&c),
	} {
		if err := r.Register(one); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	s := &Server{config: c}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	s.handler = mux
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 0)
	s.handler.ServeHTTP(w, r)
}

// ready asks every check at once, and says which is not well and why.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	said := make([]error, len(s.config.Checks))
	done := make(chan struct{})
	for i, c := range s.config.Checks {
		go func() {
			said[i] = c.Check(ctx)
			done <- struct{}{}
		}()
	}
	for range s.config.Checks {
		<-done
	}
	var why []string
	for i, err := range said {
		if err != nil {
			why = append(why, reports.Line(s.config.Checks[i].Name+": "+err.Error()))
		}
	}
	for _, fault := range s.config.Status().Faults {
		why = append(why, reports.Line(fault))
	}
	if len(why) > 0 {
		http.Error(w, "not ready\n"+strings.Join(why, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Run listens until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("metrics: --metrics: %w", err)
	}
	if s.config.Ready != nil {
		s.config.Ready(l.Addr())
	}
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("metrics: %w", err)
	case <-ctx.Done():
	}
	err = srv.Close() // a scrape that is cut comes again
	<-served
	return err
}
