package metrics_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/metrics"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
	"dormant/scanner"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func now() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

func status() fleet.Status {
	lan, dmz := fleet.Place{Site: "hq", Vantage: "lan"}, fleet.Place{Site: "hq", Vantage: "dmz"}
	return fleet.Status{
		Now: now(),
		Agents: []fleet.AgentStatus{
			{ID: "one", Site: "hq", Online: true, Ends: now().Add(time.Hour), LastSeen: now(), Last: fleet.Beat{Skew: -1500 * time.Millisecond, Waits: 7}},
			{ID: "two", Site: "hq"},
			{ID: "old", Site: "hq", Revoked: true, Online: true, Ends: now()},
		},
		Jobs: []fleet.JobStatus{{Name: "monthly", Places: []fleet.Place{lan, dmz, {Site: "lab", Vantage: "bench"}}, Next: now().Add(time.Hour), Running: true}},
		Runs: []fleet.RunStatus{
			{Job: "monthly", Place: lan, State: fleet.RunRunning, Shards: 10, Waiting: 3, Running: 2, Done: 4, Failed: 1, Targets: 1000, Asked: 400, Open: 5, Lag: 250 * time.Millisecond},
			{Job: "monthly", Place: lan, State: fleet.RunComplete, Shards: 5, Done: 5, Targets: 500, Asked: 500},
		},
		Dead:   []fleet.DeadShard{{Shard: fleet.Shard{Place: lan}}},
		Faults: nil,
	}
}

// stored is a history with one run, and a second that asked again what was missing
// there and found nothing.
func stored(t *testing.T) *history.Store {
	t.Helper()
	store, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "h.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	facts := reports.Run{ScanID: "s_1", Site: "hq", Vantage: "lan", Job: "a\x1b[31m\"job", Why: []string{"a shard is missing"},
		Scan: scanner.Summary{Started: now(), Finished: now().Add(90 * time.Second), Targets: 1000, Probes: 1234, // a shard of 256 targets was never done
			Open: 10, Closed: 600, Filtered: 100, OpenFiltered: 30, Unreachable: 1, Unknown: 3}}
	plan := history.Plan{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Ports: []registry.Port{{Number: 1947, Proto: registry.TCP}}}
	r, err := store.Begin(t.Context(), plan, func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range sinktest.Findings() {
		if i == 1 {
			f.Expected = "no"
		}
		if err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := reports.Run{ScanID: "s_2", Site: facts.Site, Vantage: facts.Vantage, Job: facts.Job, Targets: []string{"10.0.7.0/24"},
		Scan: scanner.Summary{Started: now().Add(time.Hour), Finished: now().Add(2 * time.Hour), Targets: 256, Closed: 256, Complete: true}}
	plan.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.0.7.0/24")}
	if r, err = store.Begin(t.Context(), plan, func() reports.Run { return again }); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return store
}

func serve(t *testing.T, change func(*metrics.Config)) (get func(path string) (int, string)) {
	t.Helper()
	c := metrics.Config{Status: status, Store: stored(t), Version: "1.5.0", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	s, err := metrics.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return func(path string) (int, string) {
		r, w := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil), httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
}

// ours are the lines of our own families, without comments.
func ours(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "dormant_") && !strings.HasPrefix(line, "dormant_build_info") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestMetrics(t *testing.T) {
	code, text := serve(t, nil)("/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	const job = `job="a\\x1b[31m\"job",site="hq"`
	want := []string{
		`dormant_agent_clock_skew_seconds{agent="one",site="hq"} -1.5`,
		`dormant_agent_certificate_expiry_timestamp_seconds{agent="one",site="hq"} 1.7953452e+09`,
		`dormant_agent_last_seen_timestamp_seconds{agent="one",site="hq"} 1.7953416e+09`,
		`dormant_agent_spooled_results{agent="one",site="hq"} 7`,
		`dormant_agents{site="hq",state="away"} 1`,
		`dormant_agents{site="hq",state="online"} 1`,
		`dormant_agents{site="hq",state="revoked"} 1`,
		`dormant_agents{site="lab",state="away"} 0`,
		`dormant_agents{site="lab",state="online"} 0`,
		`dormant_agents{site="lab",state="revoked"} 0`,
		`dormant_dead_shards{site="hq"} 1`,
		`dormant_dead_shards{site="lab"} 0`,
		`dormant_history_up 1`,
		`dormant_job_next_run_timestamp_seconds{job="monthly"} 1.7953452e+09`,
		`dormant_job_running{job="monthly"} 1`,
		`dormant_last_run_complete{` + job + `,vantage="lan"} 0`,
		`dormant_last_run_duration_seconds{` + job + `,vantage="lan"} 90`,
		`dormant_last_run_probes{` + job + `,vantage="lan"} 1234`,
		`dormant_last_run_targets{` + job + `,vantage="lan"} 1000`,
		`dormant_last_run_timestamp_seconds{` + job + `,vantage="lan"} 1.7953416e+09`,
		`dormant_last_run_unmeasured_targets{` + job + `,vantage="lan"} 259`,
		`dormant_policy_breaches{` + job + `,vantage="lan"} 1`,
		`dormant_result_lag_seconds{site="hq",vantage="dmz"} 0`,
		`dormant_result_lag_seconds{site="hq",vantage="lan"} 0.25`,
		`dormant_result_lag_seconds{site="lab",vantage="bench"} 0`,
		`dormant_run_asked_targets{job="monthly",site="hq",vantage="lan"} 400`,
		`dormant_run_open_ports{job="monthly",site="hq",vantage="lan"} 5`,
		`dormant_run_targets{job="monthly",site="hq",vantage="lan"} 1000`,
		`dormant_runs{site="hq",state="complete",vantage="lan"} 1`,
		`dormant_runs{site="hq",state="running",vantage="lan"} 1`,
		`dormant_server_faults 0`,
	}
	for _, place := range []string{`site="hq",state="%",vantage="dmz"`, `site="lab",state="%",vantage="bench"`, `site="hq",state="%",vantage="lan"`} {
		for state, n := range map[string]string{"waiting": "3", "running": "2", "done": "4", "failed": "1"} {
			if !strings.Contains(place, `"lan"`) {
				n = "0"
			}
			want = append(want, "dormant_shards{"+strings.Replace(place, "%", state, 1)+"} "+n)
		}
	}
	for verdict, n := range map[string]string{"license_manager": "2", "dev_server": "1", "known_service": "1", "open_shell": "1", "tunnel_or_proxy": "1", "possible_c2": "1",
		"middlebox": "1", "tarpit": "1", "unidentified": "1"} {
		want = append(want, `dormant_open_ports{`+job+`,vantage="lan",verdict="`+verdict+`"} `+n)
	}
	for severity, n := range map[string]string{"info": "3", "low": "2", "medium": "3", "high": "2"} {
		want = append(want, `dormant_open_ports_by_severity{`+strings.Replace(job, ",", `,severity="`+severity+`",`, 1)+`,vantage="lan"} `+n)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, ours(text)); d != "" {
		t.Errorf("metrics (-want +got):\n%s", d)
	}
	for _, name := range []string{`dormant_build_info{goversion="go1.`, "go_goroutines ", "process_cpu_seconds_total "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
}

// TestLint holds names and helps against Prometheus' own rules.
func TestLint(t *testing.T) {
	_, text := serve(t, nil)("/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "dormant_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// broken is a history that fails behind its first answer.
type broken struct{ metrics.Store }

func (broken) Tally(context.Context, history.Run) (history.Tally, error) {
	return history.Tally{}, errors.New("the disk is gone")
}

// TestBrokenHistory: what cannot be counted is absent and not 0, and the rest
// is there.
func TestBrokenHistory(t *testing.T) {
	code, text := serve(t, func(c *metrics.Config) { c.Store = broken{c.Store} })("/metrics")
	if code != http.StatusOK || !strings.Contains(text, "\ndormant_history_up 0\n") || strings.Contains(text, "dormant_open_ports") || !strings.Contains(text, "dormant_agents{") {
		t.Errorf("%d: %s", code, strings.Join(ours(text), "\n"))
	}
}

func TestHealth(t *testing.T) {
	slow := metrics.Check{Name: "broker", Check: func(ctx context.Context) error { return ctx.Err() }}
	bad := metrics.Check{Name: "database", Check: func(context.Context) error { return errors.New("no\x1b[31m route") }}
	faulty := func() fleet.Status { return fleet.Status{Faults: []string{"the disk is full"}} }
	for _, tt := range []struct {
		name   string
		change func(*metrics.Config)
		code   int
		want   string
	}{
		{name: "well", change: func(c *metrics.Config) { c.Checks = []metrics.Check{slow} }, code: 200, want: "ready\n"},
		{name: "no checks", code: 200, want: "ready\n"},
		{name: "no database", change: func(c *metrics.Config) { c.Checks = []metrics.Check{slow, bad} }, code: 503, want: "not ready\ndatabase: no\\x1b[31m route\n"},
		{name: "no disk", change: func(c *metrics.Config) { c.Status = faulty }, code: 503, want: "not ready\nthe disk is full\n"},
	} {
		get := serve(t, tt.change)
		if code, text := get("/readyz"); code != tt.code || text != tt.want {
			t.Errorf("%s: /readyz %d %q, want %d %q", tt.name, code, text, tt.code, tt.want)
		}
		if code, text := get("/healthz"); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: /healthz %d %q", tt.name, code, text)
		}
		if code, _ := get("/debug/pprof/"); code != http.StatusNotFound {
			t.Errorf("%s: another path %d, want 404", tt.name, code)
		}
	}
}

func TestRun(t *testing.T) {
	if _, err := metrics.New(metrics.Config{Listen: "9470", Status: status, Store: stored(t), Log: slog.New(slog.DiscardHandler)}); err == nil ||
		!strings.Contains(err.Error(), "want ADDRESS:PORT") {
		t.Errorf("a listen address without a host: %v", err)
	}
	ready := make(chan net.Addr, 1)
	s, err := metrics.New(metrics.Config{Listen: "127.0.0.1:0", Ready: func(a net.Addr) { ready <- a }, Status: status, Store: stored(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + (<-ready).String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%d, %v", r.StatusCode, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v after its context ended, want nil", err)
	}
}
