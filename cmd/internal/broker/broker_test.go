package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run starts the broker and stops it with the test.
func run(t *testing.T, c Config) *Server {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }() // ends with the test
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestInProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	s := run(t, Config{Dir: dir + "/store", Local: dir})
	if s.Addr() != nil {
		t.Errorf("it listens on %s: no port was asked for", s.Addr())
	}
	conn, err := s.Dial(ctx, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	place := fleet.Place{Site: "hq", Vantage: "lan"}
	for range 2 {
		js, err := Prepare(ctx, conn, Streams{Places: []fleet.Place{place}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(ctx, place.WorkSubject(), []byte("x"), jetstream.WithMsgID("1")); err != nil {
			t.Fatal(err)
		}
	}
	local, err := DialLocal(ctx, dir, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	js, err := jetstream.New(local)
	if err != nil {
		t.Fatal(err)
	}
	work, err := js.Stream(ctx, fleet.WorkStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := work.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages: want 1, the second is a repetition", n)
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	sound := &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	for _, tt := range []struct {
		name string
		c    Config
	}{
		{"no folder", Config{Log: quiet()}},
		{"no log", Config{Dir: dir}},
		{"a store for nothing", Config{Dir: dir, Log: quiet(), MaxStore: 1}},
		{"a port without TLS", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1:0", Gate: nobody{}}},
		{"a port without a gate", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1:0", TLS: sound}},
		{"a port that verifies nobody", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1:0", Gate: nobody{}, TLS: &tls.Config{ClientCAs: sound.ClientCAs}}},
		{"no port", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1", Gate: nobody{}, TLS: sound}},
		{"a port by name", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1:nats", Gate: nobody{}, TLS: sound}},
		{"a port beyond", Config{Dir: dir, Log: quiet(), Listen: "127.0.0.1:65536", Gate: nobody{}, TLS: sound}},
	} {
		if s, err := New(tt.c); err == nil || s != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: New = %v, %v; want one line", tt.name, s, err)
		}
	}
}

type nobody struct{}

func (nobody) Admit(Peer) (Identity, error) { return Identity{}, ErrRefused }

// TestRunRefuses: a folder in use, a port in use, a path that no socket can have.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	run(t, Config{Dir: filepath.Join(dir, "store"), Local: dir})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	sound := &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	for _, tt := range []struct {
		name, want string
		c          Config
	}{
		{"the store is in use", "another server runs on it", Config{Dir: filepath.Join(dir, "store")}},
		{"the socket is in use", "another server runs on this folder", Config{Dir: filepath.Join(dir, "other"), Local: dir}},
		{"the port is in use", "address already in use", Config{Dir: filepath.Join(dir, "third"), Listen: taken.Addr().String(), Gate: nobody{}, TLS: sound}},
		{"a long path", "shorter", Config{Dir: filepath.Join(dir, "fourth"), Local: filepath.Join(dir, strings.Repeat("x", 100))}},
		{"a store below a file", "operator.key", Config{Dir: filepath.Join(dir, secretFile, "store")}},
	} {
		tt.c.Log = quiet()
		s, err := New(tt.c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err = s.Run(ctx, func() { t.Errorf("%s: it runs", tt.name); cancel() })
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Run = %v; want one line with %q", tt.name, err, tt.want)
		}
	}
}

// TestDialRefuses: one line, and never the password.
func TestDialRefuses(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		o    Options
	}{
		{"nobody there", Options{URLs: []string{"nats://me:hunter2@" + gone.Addr().String()}}},
		{"no address", Options{}},
		{"http", Options{URLs: []string{"http://me:hunter2@127.0.0.1"}}},
		{"no URL", Options{URLs: []string{"nats://me:hunter2@[::1"}}},
		{"two in one", Options{URLs: []string{"nats://me:hunter2@127.0.0.1:1,nats://x:hunter2@127.0.0.1:2"}}},
		{"no seed", Options{URLs: []string{"nats://127.0.0.1:1"}, NKey: filepath.Join(t.TempDir(), "none")}},
		{"no certificate", Options{URLs: []string{"tls://127.0.0.1:1"}, Cert: filepath.Join(t.TempDir(), "none")}},
		{"no authority", Options{URLs: []string{"tls://127.0.0.1:1"}, CA: filepath.Join(t.TempDir(), "none")}},
	} {
		tt.o.Log = quiet()
		conn, err := Dial(t.Context(), tt.o)
		if err == nil || conn != nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") || Refused(err) {
			t.Errorf("%s: Dial = %v, %v; want one line without a password, and no refusal", tt.name, conn, err)
		}
	}
	if _, err := DialLocal(t.Context(), t.TempDir(), Options{Log: quiet()}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("DialLocal = %v; want ErrNotRunning", err)
	}
}

// TestLocalNeedsTheSecret: the socket alone is not enough.
func TestLocalNeedsTheSecret(t *testing.T) {
	dir := t.TempDir()
	run(t, Config{Dir: filepath.Join(dir, "store"), Local: dir})
	for _, file := range []string{secretFile, socketFile} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", file, info.Mode())
		}
	}
	for _, who := range [][2]string{{"", ""}, {localUser, ""}, {ownUser, ""}, {localUser, strings.Repeat("A", 52)}, {"alpha", "x"}} {
		_, err := Dial(t.Context(), Options{Log: quiet(), inProcess: &localDialer{path: filepath.Join(dir, socketFile)}, user: who[0], password: who[1]})
		cut := errors.Is(err, syscall.EPIPE) // it was shown the door while it still spoke
		if !Refused(err) && !cut {
			t.Errorf("as %q: %v; want a refusal", who, err)
		}
	}
}

// TestDelay: it doubles up to a bound, and differs.
func TestDelay(t *testing.T) {
	for tries, longest := range map[int]time.Duration{0: firstDelay, 1: firstDelay, 2: 2 * firstDelay, 7: 64 * firstDelay, 8: longestDelay, 1 << 20: longestDelay} {
		for range 100 {
			if d := delay(tries); d < longest/2 || d >= longest {
				t.Errorf("delay(%d) = %s; want from %s to %s", tries, d, longest/2, longest)
			}
		}
	}
}

// BenchmarkPublish is how fast parts get onto the disk, each with its own fsync.
func BenchmarkPublish(b *testing.B) {
	s, err := New(Config{Dir: b.TempDir(), Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }() // ends with the benchmark
	select {
	case <-ready:
	case err := <-ended:
		b.Fatal(err)
	}
	defer func() {
		cancel()
		<-ended
	}()
	conn, err := s.Dial(ctx, Options{Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := Prepare(ctx, conn, Streams{})
	if err != nil {
		b.Fatal(err)
	}
	part := make([]byte, 128<<10)
	b.SetBytes(int64(len(part)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := js.Publish(ctx, "dormant.result.hq.lan.alpha.run", part); err != nil {
			b.Fatal(err)
		}
	}
}
