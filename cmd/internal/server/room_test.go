package server

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
)

// TestNearlyFull: a result stream that is nearly full is a fault while it is
// one, said once in the log, and gone when the run that filled it is over.
func TestNearlyFull(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	const most = 1 << 20
	js, err := broker.Prepare(t.Context(), conn, broker.Streams{Places: jobs.Places(), ResultBytes: most})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t), Log: slog.New(slog.NewTextHandler(&log, nil)), pace: pace{foreign: 20 * time.Millisecond}})
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	run := s.Status().Runs[0].ScanID
	fill := func(size int) {
		noise := make([]byte, size)
		rand.Read(noise) //nolint:errcheck // it never fails, as documented
		if _, err := js.Publish(t.Context(), hq().ResultSubject("a1", run), noise); err != nil {
			t.Fatal(err)
		}
	}
	faults := func(percent string) bool {
		return slices.ContainsFunc(s.Status().Faults, func(f string) bool {
			return strings.HasPrefix(f, roomFault+": server: stream "+fleet.ResultStream+" has "+percent+" % of its 1 MiB: ")
		})
	}
	fill(most / 2)
	fill(most / 4)
	time.Sleep(200 * time.Millisecond) // several looks
	if len(s.Status().Faults) > 0 {
		t.Errorf("at 75 %%: %v", s.Status().Faults)
	}
	fill(most / 10)
	until(t, "the fault", func() bool { return faults("85") })
	fill(most / 50)
	until(t, "the fault with its new number", func() bool { return faults("87") })
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1", do: func(a *fakeAgent, s fleet.Shard) bool { a.carryOut(s, nil, nil); return true }}
	a.start()
	until(t, "the run over", func() bool { return s.running() == 0 })
	until(t, "the fault gone", func() bool { return len(s.Status().Faults) == 0 })
	stop() // nobody writes any more
	if n := strings.Count(log.String(), roomFault); n != 1 {
		t.Errorf("said %d times in the log, want once", n)
	}
}

// TestTight: what is said once stays until there is some room, not until the
// next message less.
func TestTight(t *testing.T) {
	for _, tt := range []struct {
		name        string
		bytes, most uint64
		said        bool
		want        bool
	}{
		{"empty", 0, 3 << 30, false, false},
		{"at the bound", 80 << 20, 100 << 20, false, false},
		{"above it", 80<<20 + 1, 100 << 20, false, true},
		{"a little less", 71 << 20, 100 << 20, true, true},
		{"worked off", 70 << 20, 100 << 20, true, false},
		{"as much, and not said", 71 << 20, 100 << 20, false, false},
		{"without a bound", 1 << 40, 0, false, false},
		{"full", 1 << 50, 1 << 50, false, true},
	} {
		s := &Server{faults: map[string]string{}}
		if tt.said {
			s.faults[roomFault] = "said"
		}
		if err := s.tight(tt.bytes, tt.most); (err != nil) != tt.want {
			t.Errorf("%s: tight(%d, %d) = %v, want a fault %t", tt.name, tt.bytes, tt.most, err, tt.want)
		}
	}
}
