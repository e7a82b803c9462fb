package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server in a folder of its own, that only listens on a socket in
// it.
type Server struct {
	// Dir holds the socket.
	Dir string

	bin   string
	sync  bool
	cmd   *exec.Cmd
	attr  *syscall.SysProcAttr
	bases int // databases made
}

var errNone = errors.New("no PostgreSQL server is installed (postgresql)")

// Start starts a server that ends with the test. Where none is installed the
// test is skipped, or fails if DORMANT_REQUIRE_PROGRAMS is set. It writes to the
// disk as one in service does if sync is set, else it survives its own end, and
// not the machine's.
func Start(t testing.TB, sync bool) *Server {
	t.Helper()
	s, err := newServer(sync)
	if errors.Is(err, errNone) && os.Getenv("DORMANT_REQUIRE_PROGRAMS") == "" {
		t.Skip("left out: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(syscall.SIGQUIT), os.RemoveAll(s.Dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newServer makes a cluster and starts it.
func newServer(sync bool) (_ *Server, err error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return nil, errors.Join(errNone, err)
	}
	s := &Server{bin: bins[len(bins)-1], sync: sync}
	if s.Dir, err = os.MkdirTemp("", "dormant-pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.Dir))
		}
	}()
	if s.attr, err = notRoot(s.Dir); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.Dir, "data"), "-U", "dormant", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = s.attr, s.Dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.Restart()
}

// Restart starts the server that was stopped, and waits until it answers.
func (s *Server) Restart() error {
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.Dir, "data"), "-k", s.Dir, "-c", "listen_addresses=",
		"-c", "max_connections=60", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", fmt.Sprintf("fsync=%t", s.sync))
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server writes it
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = s.attr, s.Dir, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = s.Exec("postgres", "SELECT 1"); err == nil {
			return nil
		}
	}
	said, rerr := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("the server does not answer: %w: %s", err, said), rerr, s.Stop(syscall.SIGQUIT))
}

// Stop ends the server: SIGINT breaks the connections, SIGQUIT is as a crash.
func (s *Server) Stop(how syscall.Signal) error {
	if err := s.cmd.Process.Signal(how); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// URL returns that of a database.
func (s *Server) URL(database string) string {
	return "postgres:///" + database + "?user=dormant&host=" + s.Dir
}

// Exec runs queries in the named database, without what is tested.
func (s *Server) Exec(database string, queries ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	for _, query := range queries {
		if _, err = c.Exec(ctx, query); err != nil {
			break
		}
	}
	return errors.Join(err, c.Close(ctx))
}

// Fresh returns the URL of an empty database.
func (s *Server) Fresh(t testing.TB) string {
	t.Helper()
	s.bases++
	name := "h" + strconv.Itoa(s.bases)
	if err := s.Exec("postgres", "CREATE DATABASE "+name+" STRATEGY = WAL_LOG"); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// Database is the name of the database in a URL of Fresh.
func Database(url string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(url, "postgres:///"), "?")
	return name
}

// List returns the texts that a query gives.
func (s *Server) List(database, query string) (texts []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return nil, err
	}
	rows, err := c.Query(ctx, query)
	if err == nil {
		texts, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	return texts, errors.Join(err, c.Close(ctx))
}
