package history_test

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

// pgServer is a server of PostgreSQL in a folder of its own, that only listens
// on a socket in it.
type pgServer struct {
	dir, bin string
	cmd      *exec.Cmd
	attr     *syscall.SysProcAttr
	fsync    string // off: it survives its own end, not the machine's
	bases    int    // databases made
}

var errNoServer = errors.New("no PostgreSQL server is installed (postgresql)")

// newServer makes a cluster. The server does not run as root: where the test
// does, it runs as nobody, or in a user namespace as somebody else.
func newServer(fsync string) (_ *pgServer, err error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return nil, errors.Join(errNoServer, err)
	}
	s := &pgServer{bin: bins[len(bins)-1], fsync: fsync}
	if s.dir, err = os.MkdirTemp("", "dormant-pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	if os.Geteuid() == 0 {
		const nobody = 65534
		s.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.Chown(s.dir, nobody, nobody); err != nil { // this root is one of a namespace
			s.attr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, Size: 1}}}
		}
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "dormant", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = s.attr, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the server and waits until it answers.
func (s *pgServer) start() error {
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=",
		"-c", "max_connections=60", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "fsync="+s.fsync)
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server writes it
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = s.attr, s.dir, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = s.exec("postgres", "SELECT 1"); err == nil {
			return nil
		}
	}
	said, rerr := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("the server does not answer: %w: %s", err, said), rerr, s.stop(syscall.SIGQUIT))
}

// stop ends the server: SIGINT breaks the connections, SIGQUIT is as a crash.
func (s *pgServer) stop(how syscall.Signal) error {
	if err := s.cmd.Process.Signal(how); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// close ends the server and removes its folder.
func (s *pgServer) close() error { return errors.Join(s.stop(syscall.SIGQUIT), os.RemoveAll(s.dir)) }

func (s *pgServer) url(database string) string {
	return "postgres:///" + database + "?user=dormant&host=" + s.dir
}

// exec runs queries without what is tested.
func (s *pgServer) exec(database string, queries ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.url(database))
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

// fresh returns the URL of an empty database.
func (s *pgServer) fresh(t testing.TB) string {
	t.Helper()
	s.bases++
	name := "h" + strconv.Itoa(s.bases)
	if err := s.exec("postgres", "CREATE DATABASE "+name+" STRATEGY = WAL_LOG"); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

// databaseOf is the name of the database in a URL of fresh.
func databaseOf(url string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(url, "postgres:///"), "?")
	return name
}

// startServer starts a server that ends with the test. Where none is installed
// the test is skipped, or fails if DORMANT_REQUIRE_PROGRAMS is set.
func startServer(t testing.TB, fsync string) *pgServer {
	t.Helper()
	s, err := newServer(fsync)
	if errors.Is(err, errNoServer) && os.Getenv("DORMANT_REQUIRE_PROGRAMS") == "" {
		t.Skip("left out: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// list returns the texts that a query gives.
func (s *pgServer) list(database, query string) (texts []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		return nil, err
	}
	rows, err := c.Query(ctx, query)
	if err == nil {
		texts, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	return texts, errors.Join(err, c.Close(ctx))
}
