package history_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
	"dormant/reports/history"
	"dormant/reports/history/pgtest"
	"dormant/scanner/listen"
)

func TestClientsSQLite(t *testing.T) { testClients(t, open(t, newFile(t))) }

func TestClientsPostgres(t *testing.T) { testClients(t, open(t, pgtest.Start(t, false).Fresh(t))) }

func heardClient(addr, server string, use listen.Use, count uint64, last int) listen.Client {
	return listen.Client{
		Addr: netip.MustParseAddr(addr), Server: netip.MustParseAddr(server), Port: registry.Port{Number: 1947, Proto: registry.TCP},
		Use: use, Told: listen.ByAsking, Count: count, First: day(1), Last: day(last), Source: "eth0",
	}
}

// testClients follows clients over two hearings and a file that is read twice.
func testClients(t *testing.T, s *history.Store) {
	ctx := t.Context()
	must := func(dropped int64, err error) {
		t.Helper()
		if err != nil || dropped != 0 {
			t.Fatalf("dropped %d, %v", dropped, err)
		}
	}
	hear := func(id, site string, files bool) *history.HearingRecorder {
		t.Helper()
		r, err := s.Hear(ctx, history.Hearing{ID: id, Site: site, Vantage: "probe1", Started: day(2), Sources: []string{"eth0", "a\x00b\xff"}}, files)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := heardClient("10.2.0.1", "10.1.0.1", listen.Attempted, 3, 4), heardClient("fe80::7%eth0", "10.1.0.1", listen.Announced, 1, 3)
	b.Name, b.Created = "host\x00\xff", day(1)
	r := hear("l_1", "hq", false)
	must(r.Keep(ctx, []listen.Client{a, b}, 0, 0))
	a.Use, a.Count, a.Last = listen.Used, 5, day(6)
	must(r.Keep(ctx, []listen.Client{a, b}, 2, 0)) // b is as it was
	must(r.Close(ctx, []listen.Client{a, b}, 2, 1))
	for range 2 { // read again, a file adds nothing
		r := hear("l_2", "hq", true)
		old := heardClient("10.2.0.1", "10.1.0.1", listen.Answered, 9, 5)
		old.First = time.Time{}
		must(r.Close(ctx, []listen.Client{old}, 0, 0))
	}
	other := hear("l_3", "plant", false)
	must(other.Keep(ctx, []listen.Client{heardClient("10.2.0.1", "10.1.0.1", listen.Used, 1, 7)}, 0, 0))

	got, err := s.Clients(ctx)
	if err != nil {
		t.Fatal(err)
	}
	a.Count = 9 // the greater of 5 and the 9 of the file
	want := []history.KnownClient{
		{Client: a, Site: "hq", Vantage: "probe1"}, {Client: b, Site: "hq", Vantage: "probe1"},
		{Client: heardClient("10.2.0.1", "10.1.0.1", listen.Used, 1, 7), Site: "plant", Vantage: "probe1"},
	}
	if d := gocmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(history.KnownClient{}, "Stored")); d != "" {
		t.Errorf("clients (-want +got):\n%s", d)
	}
	if none, err := s.Clients(ctx, registry.Port{Number: 475, Proto: registry.TCP}); err != nil || len(none) != 0 {
		t.Errorf("clients of another port: %v, %v", none, err)
	}
	hearings, err := s.Hearings(ctx)
	if err != nil || len(hearings) != 3 {
		t.Fatalf("hearings: %v, %v", hearings, err)
	}
	for _, h := range hearings {
		if (h.ID == "l_3") != h.Finished.IsZero() {
			t.Errorf("hearing %s finished at %v", h.ID, h.Finished)
		}
		if h.ID == "l_1" && (h.Clients != 2 || h.Lost != 2 || h.Forgotten != 1 || gocmp.Diff([]string{"eth0", `a\x00b\xff`}, h.Sources) != "") {
			t.Errorf("hearing = %+v", h)
		}
	}
	if runs, err := s.Runs(ctx); err != nil || len(runs) != 0 {
		t.Errorf("runs: %v, %v; a hearing is none", runs, err)
	}
	clients, gone, err := s.PruneClients(ctx, time.Now().Add(time.Hour))
	if err != nil || clients != 3 || gone != 2 {
		t.Errorf("PruneClients = %d, %d, %v; want all clients, and the hearings that ended", clients, gone, err)
	}
}

// TestClientsAreBounded fills a history: the weakest are forgotten, and counted.
func TestClientsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 200,000 clients")
	}
	s := open(t, newFile(t))
	r, err := s.Hear(t.Context(), history.Hearing{ID: "l_1", Started: day(1)}, false)
	if err != nil {
		t.Fatal(err)
	}
	var all []listen.Client
	for i := range 200_100 {
		use := listen.Used
		if i%1000 == 0 {
			use = listen.Attempted // 201 of them
		}
		c := heardClient(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "10.200.0.1", use, 1, 2)
		all = append(all, c)
	}
	if dropped, err := r.Keep(t.Context(), all, 0, 0); err != nil || dropped != 100 {
		t.Fatalf("Keep = %d, %v; want 100 dropped", dropped, err)
	}
	known, err := s.Clients(t.Context())
	if err != nil || len(known) != 200_000 {
		t.Fatalf("%d clients, %v; want 200,000", len(known), err)
	}
	weak := 0
	for i := range known {
		if known[i].Use == listen.Attempted {
			weak++
		}
	}
	if weak != 101 {
		t.Errorf("%d clients without an answer are left, want 101: they go first", weak)
	}
}
