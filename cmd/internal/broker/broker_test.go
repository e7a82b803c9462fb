package broker

import (
	"context"
	"log/slog"
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
