package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/server"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// aDesk is a desk on a history of its own.
func aDesk(t *testing.T) *desk {
	t.Helper()
	store, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &desk{a: &app{stdout: io.Discard, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}, store: store}
}

// carry takes a run of a site through the desk, with these ports open on
// 10.0.0.9, and returns the run that it is compared with, and what changed.
func (d *desk) carry(t *testing.T, j *server.Job, site string, number int, spared string, ports ...uint16) string {
	t.Helper()
	tcp := func(n uint16) registry.Port { return registry.Port{Number: n, Proto: registry.TCP} }
	r := &server.Run{
		ID: fmt.Sprintf("s_%s-%d", site, number), Job: j.Name, Place: fleet.Place{Site: site, Vantage: "lan"},
		Started: time.Date(2026, 11, number, 2, 0, 0, 0, time.UTC), Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")},
		Sweep: server.Sweep{Ports: []registry.Port{tcp(1947), tcp(3588)}, ShardSize: 256},
	}
	facts := reports.Run{ScanID: r.ID, Site: site, Vantage: "lan", Job: j.Name, Targets: []string{"10.0.0.0/24"}}
	facts.Scan.Started = r.Started
	book, err := d.Open(t.Context(), r, j, func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		o := scanner.Observation{Target: scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: tcp(port)}, State: scanner.Open, Reason: scanner.SynAck, At: r.Started}
		f := reports.NewFinding(reports.Meta{ScanID: r.ID, Site: site, Vantage: "lan"}, "x", o, nil, nil)
		for range 2 { // it comes again after a failure
			if err := book.Sink.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	facts.Scan.Complete, facts.Scan.Targets, facts.Scan.Finished = true, 512, r.Started.Add(time.Minute)
	if spared != "" {
		r.Spared = []netip.Prefix{netip.MustParsePrefix(spared)}
	}
	if err := book.Sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Report(t.Context(), r, j); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(server.Output(j.Outputs[0], r))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != len(ports)+1 {
		t.Errorf("%s: %d lines; want a header and %d ports", r.ID, n, len(ports))
	}
	run, err := d.store.Find(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	base, changes, err := d.store.Changes(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprint(base, " ", changes))
}

// TestDeskAfterABackup: a broker that was restored goes on with a run of which
// the history has more, and takes nothing from it.
func TestDeskAfterABackup(t *testing.T) {
	d := aDesk(t)
	j := &server.Job{Name: "nightly", Outputs: []string{filepath.Join(t.TempDir(), "{site}-{date}.csv")}}
	d.carry(t, j, "hq", 1, "", 1947)
	again := &server.Run{ID: "s_hq-1", Job: j.Name, Place: fleet.Place{Site: "hq", Vantage: "lan"}}
	book, err := d.Open(t.Context(), again, j, nil)
	if err != nil || book.Stored == nil || book.Stored.Scan.Targets != 512 {
		t.Errorf("Open = %+v, %v; want what is stored", book, err)
	}
	if run, err := d.store.Find(t.Context(), "s_hq-1"); err != nil || run.Status != "complete" || run.Open != 1 {
		t.Errorf("stored: %s with %d open, %v; want it as it was", run.Status, run.Open, err)
	}
}

// TestDeskKeepsSitesApart: the same private addresses at two sites have two
// histories, and each is compared with its own.
func TestDeskKeepsSitesApart(t *testing.T) {
	d := aDesk(t)
	j := &server.Job{Name: "nightly", Outputs: []string{filepath.Join(t.TempDir(), "{site}-{date}.csv")}}
	for _, step := range []struct {
		site   string
		number int
		ports  []uint16
		want   string
	}{
		{"hq", 1, []uint16{1947}, "map[]"},
		{"plant", 2, []uint16{3588}, "map[]"},
		{"hq", 3, []uint16{1947, 3588}, "s_hq-1 map[new:1]"},
		{"plant", 4, []uint16{3588}, "s_plant-2 map[]"},
		{"hq", 5, []uint16{3588}, "s_hq-3 map[missing:1]"},
		{"hq", 6, []uint16{3588}, "s_hq-5 map[gone:1]"},
	} {
		if got := d.carry(t, j, step.site, step.number, "", step.ports...); got != step.want {
			t.Errorf("%s, run %d: %s; want %s", step.site, step.number, got, step.want)
		}
	}
	runs, err := d.store.RunsOf(t.Context(), history.RunFilter{Sites: []string{"plant"}})
	if err != nil || len(runs) != 2 || runs[0].Open != 1 {
		t.Errorf("runs of plant: %+v, %v", runs, err)
	}
}

// TestDeskDoesNotTakeSparedForGone: what the site's own list spared was not
// asked, so its silence says nothing.
func TestDeskDoesNotTakeSparedForGone(t *testing.T) {
	d := aDesk(t)
	j := &server.Job{Name: "nightly", Outputs: []string{filepath.Join(t.TempDir(), "{site}-{date}.csv")}}
	d.carry(t, j, "hq", 1, "", 1947)
	for number := 2; number < 5; number++ {
		if got := d.carry(t, j, "hq", number, "10.0.0.8/29"); strings.Contains(got, "missing") || strings.Contains(got, "gone") {
			t.Errorf("run %d, which spared the host: %s", number, got)
		}
	}
	if got := d.carry(t, j, "hq", 5, ""); got != "s_hq-1 map[missing:1]" {
		t.Errorf("asked again: %s; want it missing", got)
	}
}

// TestDeskTells: changes, and that a run is incomplete, reach whom they concern;
// who cannot be reached keeps no run.
func TestDeskTells(t *testing.T) {
	var told []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		told = append(told, string(b))
	}))
	defer hook.Close()
	d := aDesk(t)
	j := &server.Job{Name: "nightly", Outputs: []string{filepath.Join(t.TempDir(), "{site}-{date}.csv")}, Notify: []string{hook.URL, "http://127.0.0.1:1/secret"}}
	d.carry(t, j, "hq", 1, "", 1947)
	d.carry(t, j, "hq", 2, "", 1947, 3588)
	if len(told) != 1 || !strings.Contains(told[0], "1 new in 10.0.0.0/24 from hq/lan") {
		t.Errorf("told %q", told)
	}
	run, err := d.store.Find(t.Context(), "s_hq-2")
	if err != nil {
		t.Fatal(err)
	}
	run.Facts.Scan.Complete, run.Facts.Scan.Why = false, []string{"1 shard was not done: 10.0.1.0/24"}
	d.tell(context.Background(), j, run, &outcome{})
	if len(told) != 2 || !strings.Contains(told[1], "incomplete: 1 shard was not done: 10.0.1.0/24") {
		t.Errorf("told %q", told)
	}
}
