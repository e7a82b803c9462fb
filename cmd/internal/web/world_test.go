package web_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/web"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
	"dormant/scanner"

	"go.uber.org/goleak"
	"golang.org/x/net/html"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

const token = "correct-horse-battery-staple"

// fleetOf is a fleet that remembers what it was asked to do.
type fleetOf struct {
	mu               sync.Mutex
	status           fleet.Status
	next             []fleet.Status // those of the following calls
	started, revoked []string
}

func (f *fleetOf) Status() fleet.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.next) > 0 {
		f.status, f.next = f.next[0], f.next[1:]
	}
	return f.status
}

// set makes all of them come one after the other; the last one stays.
func (f *fleetOf) set(all ...fleet.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = all
}

func (f *fleetOf) Start(_ context.Context, job string) error {
	if job == "nightly-branch" {
		return errors.New("it runs since 03:00")
	}
	f.started = append(f.started, job)
	return nil
}

func (f *fleetOf) Revoke(_ context.Context, agent string) error {
	if agent == "gone" {
		return errors.New("no such agent is enrolled")
	}
	f.revoked = append(f.revoked, agent)
	return nil
}

func id(n int) string { return fmt.Sprintf("s_0193a5b0-0000-7000-8000-%012d", n) }

func now() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

// status is a fleet with everything that can be seen of one.
func status() fleet.Status {
	hq, dmz, branch := fleet.Place{Site: "hq", Vantage: "lan"}, fleet.Place{Site: "hq", Vantage: "dmz"}, fleet.Place{Site: "branch", Vantage: "lan"}
	at := now()
	return fleet.Status{
		Now: at,
		Agents: []fleet.AgentStatus{
			{ID: "probe-branch", Site: "branch", Vantages: []string{"lan"}, Enrolled: at.AddDate(0, -2, 0), Ends: at.AddDate(0, 0, 9), LastSeen: at.Add(-47 * time.Minute),
				Last: fleet.Beat{Program: "1.4.0", Host: "pi4", Backend: "connect", Now: at.Add(-47 * time.Minute), Skew: -3 * time.Hour, Waits: 1200,
					Fault: "no space left on device"}},
			{ID: "probe-hq", Site: "hq", Vantages: []string{"lan", "dmz"}, Enrolled: at.AddDate(0, -3, 0), Ends: at.AddDate(0, 2, 0), LastSeen: at.Add(-4 * time.Second), Online: true,
				Last: fleet.Beat{Program: "1.5.0", Host: "scan01.hq.example", Backend: "afpacket", Now: at, Skew: 40 * time.Millisecond,
					Run: id(900), Shard: 7, Sent: 8123, Total: 36864, Open: 12}},
			{ID: "probe-old", Site: "hq", Vantages: []string{"lan"}, Enrolled: at.AddDate(-1, 0, 0), LastSeen: at.AddDate(0, -1, 0), Revoked: true},
		},
		Jobs: []fleet.JobStatus{
			{Name: "monthly-hq", Cron: "0 3 1 * *", Places: []fleet.Place{hq, dmz}, Next: at.AddDate(0, 0, 9), LastRun: at.Add(-26 * time.Minute), Running: true},
			{Name: "nightly-branch", Cron: "0 3 * * *", Places: []fleet.Place{branch}, Next: at.Add(17 * time.Hour), LastRun: at.Add(-7 * time.Hour),
				Note: "the run that was due at 2026-11-22 03:00:00 was missed: no server was running"},
			{Name: "by-hand", Places: []fleet.Place{hq, {Site: "lab", Vantage: "bench"}}},
		},
		Runs: []fleet.RunStatus{
			{ScanID: id(900), Job: "monthly-hq", Place: hq, State: fleet.RunRunning, Started: at.Add(-26 * time.Minute), Shards: 64, Waiting: 36, Running: 1,
				Done: 26, Failed: 1, Targets: 2_359_296, Asked: 995_328, Open: 412, Lag: 80 * time.Millisecond, Why: []string{"shard 3 was refused by every agent"},
				Missing: []netip.Prefix{netip.MustParsePrefix("10.0.12.0/24"), netip.MustParsePrefix("10.0.13.0/24")}},
			{ScanID: id(901), Job: "monthly-hq", Place: dmz, State: fleet.RunWaiting, Shards: 2, Waiting: 2, Targets: 6144},
			{ScanID: id(12), Job: "nightly-branch", Place: branch, State: fleet.RunIncomplete, Started: at.Add(-7 * time.Hour), Finished: at.Add(-6 * time.Hour),
				Shards: 4, Done: 3, Failed: 1, Targets: 12288, Asked: 9216, Open: 11, Why: []string{"shard 2 was given out 5 times"},
				Missing: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}},
		},
		Dead: []fleet.DeadShard{
			{Shard: fleet.Shard{Run: id(12), Job: "nightly-branch", Number: 2, Of: 4, Place: branch,
				Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}}, Tries: 5, Why: "no space left on device", At: at.Add(-6 * time.Hour)},
		},
		Faults: []string{"the disk of the state folder has 210 MB left"},
	}
}

// world is a page over a history that was really written.
type world struct {
	*httptest.Server
	fleet  *fleetOf
	store  *history.Store
	log    *journal
	page   *web.Server
	config web.Config
}

// newWorld serves the page with the configuration that change makes of the
// usual one, over TLS as Run would.
func newWorld(t testing.TB, change func(*web.Config)) *world {
	t.Helper()
	store, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{fleet: &fleetOf{status: status()}, store: store, log: &journal{}}
	c := web.Config{Fleet: w.fleet, Store: store, Registry: reg, Token: token, Version: "1.5.0", Log: slog.New(slog.NewTextHandler(w.log, nil))}
	if change != nil {
		change(&c)
	}
	w.config = c
	if w.page, err = web.New(c); err != nil {
		t.Fatal(err)
	}
	w.page.SetClock(now)
	w.Server = httptest.NewServer(w.page)
	t.Cleanup(func() {
		w.Server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// serve puts another handler in the place of the page.
func (w *world) serve(h http.Handler) {
	w.Server.Close()
	w.Server = httptest.NewServer(h)
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// record stores a run of findings.
func (w *world) record(t testing.TB, run string, at fleet.Place, job string, started time.Time, why []string, findings []reports.Finding) {
	t.Helper()
	w.recordOf(t, []string{"10.0.0.0/16", "2001:db8::/120"}, run, at, job, started, why, findings)
}

// recordOf stores a run that asked only some subnets.
func (w *world) recordOf(t testing.TB, targets []string, run string, at fleet.Place, job string, started time.Time, why []string, findings []reports.Finding) {
	t.Helper()
	facts := reports.Run{
		ScanID: run, Site: at.Site, Vantage: at.Vantage, Job: job, Version: "1.5.0", Backend: "afpacket", Targets: targets, Ports: []string{"1947/tcp"},
		Scan: scanner.Summary{Started: started, Finished: started.Add(9 * time.Minute), Targets: 786_432, Addresses: 65_536, HostsAlive: 12, Complete: true}, Why: why,
	}
	plan := history.Plan{}
	for _, target := range targets {
		plan.Prefixes = append(plan.Prefixes, netip.MustParsePrefix(target))
	}
	for _, p := range []string{"1947/tcp", "3588/tcp", "3712/tcp", "3047/tcp", "475/tcp", "5093/udp", "5093/tcp"} {
		port, err := registry.ParsePort(p)
		if err != nil {
			t.Fatal(err)
		}
		plan.Ports = append(plan.Ports, port)
	}
	r, err := w.store.Begin(t.Context(), plan, func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		f.ScanID, f.Site, f.Vantage, f.ObservedAt = run, at.Site, at.Vantage, cmp.Or(f.ObservedAt, started)
		if err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// month stores a history that a month of jobs leaves: places with trends, a
// breach, a run that is incomplete.
func (w *world) month(t testing.TB) {
	t.Helper()
	hq, dmz, branch := fleet.Place{Site: "hq", Vantage: "lan"}, fleet.Place{Site: "hq", Vantage: "dmz"}, fleet.Place{Site: "branch", Vantage: "lan"}
	all := sinktest.Findings()
	all[1].Expected, all[1].Owner = "no", "K. Brandt"
	for i := range 9 {
		some := append([]reports.Finding{}, all...)
		if i < 6 {
			some = append(some[:1], some[3:]...) // shell and C2 came later
		}
		for k := range i % 4 { // and some come and go
			f := all[4]
			f.IP = netip.AddrFrom4([4]byte{10, 0, 2, byte(10 + k)})
			some = append(some, f)
		}
		w.record(t, id(i+1), hq, "monthly-hq", now().AddDate(0, -9+i, 3), nil, some)
	}
	w.record(t, id(10), dmz, "monthly-hq", now().AddDate(0, 0, -20), nil, all[3:5])
	w.record(t, id(11), branch, "nightly-branch", now().AddDate(0, 0, -1), nil, all[3:8])
	w.record(t, id(12), branch, "nightly-branch", now().Add(-7*time.Hour), []string{"no agent could do 192.168.7.0/24"}, all[4:8])
}

// client is a browser without a script.
func client(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// login returns a browser that is logged in.
func (w *world) login(t testing.TB) *http.Client {
	t.Helper()
	c := client(t)
	if r := w.post(t, c, "/login", url.Values{"token": {token}}, nil); r.code != http.StatusSeeOther {
		t.Fatalf("login: %d %s", r.code, r.body)
	}
	return c
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (w *world) get(t testing.TB, c *http.Client, path string, header http.Header) answer {
	t.Helper()
	return w.do(t, c, http.MethodGet, path, "", header)
}

func (w *world) post(t testing.TB, c *http.Client, path string, form url.Values, header http.Header) answer {
	t.Helper()
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for k, v := range header {
		h[k] = v
	}
	return w.do(t, c, http.MethodPost, path, form.Encode(), h)
}

func (w *world) do(t testing.TB, c *http.Client, method, path, body string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"text/html"}}
	for k, v := range header {
		r.Header[k] = v
	}
	got, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

// seal is the secret of the forms on a page.
func seal(t testing.TB, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="seal" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page has no form with a seal")
	}
	return m[1]
}

func parse(t testing.TB, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func prefixes(all ...string) (list []netip.Prefix) {
	for _, s := range all {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func place(site, vantage string) fleet.Place { return fleet.Place{Site: site, Vantage: vantage} }

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func reportsPort(f reports.Finding) string { return strconv.Itoa(int(f.Port)) }
