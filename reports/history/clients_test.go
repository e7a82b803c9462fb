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

func TestClientsSQLite(t *testing.T) {
	testClients(t, open(t, newFile(t)))
	testMergedClients(t, open(t, newFile(t)))
}

func TestClientsPostgres(t *testing.T) {
	server := pgtest.Start(t, false)
	testClients(t, open(t, server.Fresh(t)))
	testMergedClients(t, open(t, server.Fresh(t)))
}

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

// testMergedClients holds what several hearings make of one client: of each the
// one that says most, the sum of what was heard live, and the name of the last.
func testMergedClients(t *testing.T, s *history.Store) {
	client := func(use listen.Use, told listen.Told, first, last, created int, name, source string) listen.Client {
		c := heardClient("2001:db8::7", "10.1.0.1", use, 0, last)
		c.Told, c.First, c.Name, c.Source = told, day(first), name, source
		if created > 0 {
			c.Created = day(created)
		}
		return c
	}
	for i, tt := range []struct {
		vantage string
		files   bool
		counts  []uint64 // one after the other
		heard   listen.Client
		count   uint64
		want    listen.Client
		at      string
	}{
		{"a", false, []uint64{2, 5}, client(listen.Attempted, listen.ByFlow, 3, 5, 0, "", "eth1"),
			5, client(listen.Attempted, listen.ByFlow, 3, 5, 0, "", "eth1"), "a"},
		{"b", false, []uint64{4}, client(listen.Announced, listen.ByAsking, 1, 4, 3, "old", "eth2"),
			9, client(listen.Attempted, listen.ByAsking, 1, 5, 3, "old", "eth1"), "a"},
		{"c", false, []uint64{1}, client(listen.Used, listen.ByPort, 2, 6, 0, "", "eth3"),
			10, client(listen.Used, listen.ByAsking, 1, 6, 3, "old", "eth3"), "c"},
		{"d", false, []uint64{1}, client(listen.Used, listen.ByPort, 2, 7, 4, "new", "eth4"),
			11, client(listen.Used, listen.ByAsking, 1, 7, 4, "new", "eth4"), "d"},
		{"e", true, []uint64{6, 12}, client(listen.Refused, listen.ByPort, 2, 5, 2, "file", "a.pcap"),
			12, client(listen.Used, listen.ByAsking, 1, 7, 4, "new", "eth4"), "d"},
	} {
		r, err := s.Hear(t.Context(), history.Hearing{ID: fmt.Sprint("l_", i), Site: "hq", Vantage: tt.vantage, Started: day(1)}, tt.files)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt.heard.Count = range tt.counts {
			if _, err := r.Keep(t.Context(), []listen.Client{tt.heard}, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		tt.want.Count = tt.count
		got, err := s.Clients(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []history.KnownClient{{Client: tt.want, Site: "hq", Vantage: tt.at}}
		if d := gocmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(history.KnownClient{}, "Stored")); d != "" {
			t.Errorf("hearing %d (-want +got):\n%s", i, d)
		}
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
