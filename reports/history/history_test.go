package history_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
	"dormant/scanner"
)

// TestMain is also the process that TestKilledWriter kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("DORMANT_TEST_WRITER"); path != "" {
		writeForever(path)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func day(n int) time.Time { return time.Date(2026, 11, n, 3, 0, 0, 0, time.UTC) }

func ports() []registry.Port {
	return []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 3588, Proto: registry.TCP}, {Number: 5093, Proto: registry.UDP}}
}

func plan(prefixes ...string) history.Plan {
	p := history.Plan{Ports: ports()}
	for _, s := range prefixes {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(s))
	}
	return p
}

// service is an open port of a synthetic run.
type service struct {
	at      string // "10.0.0.1:1947/tcp"
	product string
	version string
	mac     string
	cert    string
	host    string
	state   scanner.State

	verdict            fingerprint.Class // zero: a license manager
	severity, expected string            // "": low, no policy
}

func (s service) finding(id string, at time.Time) reports.Finding {
	cut := strings.LastIndexByte(s.at, ':')
	p, err := registry.ParsePort(s.at[cut+1:])
	if err != nil {
		panic(err)
	}
	addr := netip.MustParseAddr(strings.Trim(s.at[:cut], "[]"))
	o := scanner.Observation{Target: scanner.Target{Addr: addr, Port: p}, State: scanner.Open, Reason: scanner.SynAck, From: addr, At: at, Sent: 1}
	if s.state != 0 {
		o.State, o.Reason = s.state, scanner.Rst
		return reports.NewFinding(reports.Meta{ScanID: id, Site: "hq", Vantage: "probe"}, "x", o, nil, nil)
	}
	v := fingerprint.Verdict{Class: cmp.Or(s.verdict, fingerprint.LicenseManager), Confidence: 95, Service: "hasp-acc", Product: s.product, Version: s.version,
		TLSCert: s.cert, Hostname: s.host, Severity: cmp.Or(s.severity, "low")}
	ev := fingerprint.Evidence{Target: o.Target, Started: at, Status: fingerprint.StatusDone, Exchanges: []fingerprint.Exchange{
		{Conn: 1, Probe: "get10", Sent: []byte("GET / HTTP/1.0\r\n\r\n"), Received: []byte("HTTP/1.0 403 Forbidden\r\nServer: HASP LM/" + s.version + "\r\n\r\n"), End: fingerprint.EndFin}}}
	f := reports.NewFinding(reports.Meta{ScanID: id, Site: "hq", Vantage: "probe"}, "sentinelsrm", o, &v, &ev)
	f.MAC, f.Expected = s.mac, s.expected
	return f
}

func open(t testing.TB, path string) *history.Store {
	t.Helper()
	s, err := history.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

// record stores a run of the day; complete says whether it measured everything.
func record(t testing.TB, s *history.Store, id string, on time.Time, p history.Plan, complete bool, services ...service) history.Run {
	t.Helper()
	facts := reports.Run{ScanID: id, Site: "hq", Vantage: "probe", Targets: []string{"10.0.0.0/24"}, Version: "test",
		Scan: scanner.Summary{Started: on, Targets: 768}}
	r, err := s.Begin(t.Context(), p, func() reports.Run { return facts })
	if err != nil {
		t.Fatalf("Begin = %v", err)
	}
	for i, v := range services {
		if err := r.Write(t.Context(), v.finding(id, on.Add(time.Duration(i)*time.Second))); err != nil {
			t.Fatalf("Write = %v", err)
		}
	}
	facts.Scan.Finished, facts.Scan.Complete = on.Add(time.Minute), complete
	if err := r.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	run, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatalf("Find = %v", err)
	}
	return run
}

func equateAddr() gocmp.Option { return cmpopts.EquateComparable(netip.Addr{}) }

func TestFindingsComeBack(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "new", "history.db"))
	want := append(sinktest.Findings(), sinktest.Hostile()...)
	facts := func() reports.Run {
		return reports.Run{ScanID: "s_01J9ZK3V7Q", Site: "hq", Vantage: "probe-dmz1", Ticket: "CHG0012345"}
	}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range want {
		if err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := s.Find(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	got := map[scanner.Target]reports.Finding{}
	err = s.Findings(t.Context(), run, func(f reports.Finding) error {
		got[scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}] = f
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("Findings = %d, %v; want %d", len(got), err, len(want))
	}
	for _, w := range want {
		g := got[scanner.Target{Addr: w.IP, Port: registry.Port{Number: w.Port, Proto: w.Transport}}]
		w.Change = "" // what is stored of a run does not depend on other runs
		if w.State != scanner.Open {
			w.Note, w.MACVendor = "", ""
			w.FirstSeen, w.LastSeen = time.Time{}, time.Time{} // of what is not open only the answer is stored
		} else if strings.ContainsRune(w.Product+w.Hostname, 0xfffd) || !validText(w) {
			continue // no text: fingerprint escapes such bytes before they come here, and JSON replaces them
		}
		if d := gocmp.Diff(w, g, equateAddr(), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%v %d (-want +got):\n%s", w.IP, w.Port, d)
		}
		if w.Dialogue != nil && reports.EvidenceID(g.Dialogue) != w.EvidenceID {
			t.Errorf("%v %d: the evidence has another id than when it was stored", w.IP, w.Port)
		}
	}
}

func validText(f reports.Finding) bool { return strings.ToValidUTF8(f.Service, "") == f.Service }

func TestDiff(t *testing.T) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18", mac: "00:1a:4b:00:00:01"}
	vite := service{at: "10.0.0.2:3588/tcp", product: "Vite", version: "5", host: "dev.corp"}
	newer := lm
	newer.version = "19"
	moved := vite
	moved.at = "10.0.0.9:3588/tcp"
	closed := service{at: "10.0.0.1:1947/tcp", state: scanner.Closed}
	type run struct {
		services []service
		plan     history.Plan
		broken   bool
	}
	small := plan("10.0.0.0/31")
	for _, tt := range []struct {
		name     string
		runs     []run
		from, to int // of runs
		want     []string
	}{
		{"nothing changed", []run{{services: []service{lm, vite}}, {services: []service{lm, vite}}}, 0, 1, nil},
		{"new", []run{{services: []service{lm}}, {services: []service{lm, vite}}}, 0, 1, []string{"new 10.0.0.2:3588/tcp"}},
		{"changed", []run{{services: []service{lm}}, {services: []service{newer}}}, 0, 1, []string{"changed 10.0.0.1:1947/tcp version 18>19"}},
		{"silent once is missing", []run{{services: []service{lm, vite}}, {services: []service{lm}}}, 0, 1, []string{"missing 10.0.0.2:3588/tcp"}},
		{"closed once is missing", []run{{services: []service{lm}}, {services: []service{closed}}}, 0, 1, []string{"missing 10.0.0.1:1947/tcp"}},
		{"silent twice is gone", []run{{services: []service{lm}}, {}, {}}, 1, 2, []string{"gone 10.0.0.1:1947/tcp"}},
		{"silent twice, seen over both", []run{{services: []service{lm}}, {}, {}}, 0, 2, []string{"gone 10.0.0.1:1947/tcp"}},
		{"gone is said once", []run{{services: []service{lm}}, {}, {}, {}}, 2, 3, nil},
		{"missing and back", []run{{services: []service{lm}}, {}, {services: []service{lm}}}, 1, 2, nil},
		{"back and changed", []run{{services: []service{lm}}, {}, {services: []service{newer}}}, 1, 2, []string{"changed 10.0.0.1:1947/tcp version 18>19"}},
		{"an interrupted run says nothing of silence", []run{{services: []service{lm}}, {broken: true}}, 0, 1, []string{"not_scanned 10.0.0.1:1947/tcp"}},
		{"and is no strike", []run{{services: []service{lm}}, {broken: true}, {}}, 0, 2, []string{"missing 10.0.0.1:1947/tcp"}},
		{"outside of the plan", []run{{services: []service{lm, vite}}, {services: []service{lm}, plan: small}}, 0, 1, []string{"not_scanned 10.0.0.2:3588/tcp"}},
		{"asked for the first time", []run{{services: []service{lm}, plan: small}, {services: []service{lm, vite}}}, 0, 1, []string{"first_run 10.0.0.2:3588/tcp"}},
		{"moved by host name", []run{{services: []service{lm, vite}}, {services: []service{lm, moved}}}, 0, 1, []string{"moved 10.0.0.9:3588/tcp from 10.0.0.2"}},
		{"a name at two addresses is no machine", []run{{services: []service{lm, vite}}, {services: []service{lm, moved, {at: "10.0.0.10:3588/tcp", host: "dev.corp"}}}}, 0, 1,
			[]string{"missing 10.0.0.2:3588/tcp", "new 10.0.0.9:3588/tcp", "new 10.0.0.10:3588/tcp"}},
		{"another MAC is another machine", []run{
			{services: []service{{at: "10.0.0.3:1947/tcp", mac: "00:00:00:00:00:03", cert: "sha256:aa"}}},
			{services: []service{{at: "10.0.0.4:1947/tcp", mac: "00:00:00:00:00:04", cert: "sha256:aa"}}}}, 0, 1,
			[]string{"missing 10.0.0.3:1947/tcp", "new 10.0.0.4:1947/tcp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "h.db"))
			var runs []history.Run
			for i, r := range tt.runs {
				if r.plan.Ports == nil {
					r.plan = plan("10.0.0.0/24")
				}
				runs = append(runs, record(t, s, fmt.Sprintf("s_%d", i), day(i+1), r.plan, !r.broken, r.services...))
			}
			var got []string
			err := s.Diff(t.Context(), runs[tt.from], runs[tt.to], func(c history.Change) error {
				text := string(c.Kind) + " " + c.Target.String()
				if c.From.IsValid() {
					text += " from " + c.From.String()
				}
				for _, f := range c.Fields {
					text += fmt.Sprintf(" %s %s>%s", f.Name, f.Before, f.After)
				}
				got = append(got, text)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
		})
	}
}

// keep remembers what it is given.
type keep struct{ findings []reports.Finding }

func (k *keep) Close() error { return nil }

func TestAnnotate(t *testing.T) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	vite := service{at: "10.0.0.2:3588/tcp", product: "Vite", host: "dev.corp"}
	nginx := service{at: "10.0.0.3:3588/tcp", product: "nginx"}
	s := open(t, filepath.Join(t.TempDir(), "h.db"))
	p := plan("10.0.0.0/24")
	steps := []struct {
		services []service
		want     []string
	}{
		{[]service{lm, vite}, []string{"10.0.0.1 open first_run 1 1", "10.0.0.2 open first_run 1 1"}},
		{[]service{lm, vite, nginx}, []string{"10.0.0.1 open same 1 2", "10.0.0.2 open same 1 2", "10.0.0.3 open new 2 2"}},
		{[]service{{at: lm.at, product: "Sentinel", version: "19"}, {at: vite.at, state: scanner.Closed}},
			[]string{"10.0.0.1 open changed 1 3", "10.0.0.2 closed missing 1 2", "10.0.0.3 filtered missing 2 2"}},
		{[]service{{at: lm.at, product: "Sentinel", version: "19"}},
			[]string{"10.0.0.1 open same 1 4", "10.0.0.2 filtered gone 1 2", "10.0.0.3 filtered gone 2 2"}},
		{[]service{lm, {at: "10.0.0.7:3588/tcp", product: "Vite", host: "dev.corp"}},
			[]string{"10.0.0.1 open changed 1 5", "10.0.0.7 open new 5 5"}},
	}
	for i, step := range steps {
		run := record(t, s, fmt.Sprintf("s_%d", i), day(i+1), p, true, step.services...)
		var k keep
		a := s.Annotate(run, &k)
		if err := s.Findings(t.Context(), run, func(f reports.Finding) error { return a.Write(t.Context(), f) }); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range k.findings {
			got = append(got, fmt.Sprintf("%v %v %s %d %d", f.IP, f.State, f.Change, f.FirstSeen.Day(), f.LastSeen.Day()))
		}
		if d := gocmp.Diff(step.want, got); d != "" {
			t.Errorf("run %d (-want +got):\n%s", i, d)
		}
	}
}

func TestTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			s, err := history.Open(t.Context(), path) // both make the file
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close() //nolint:errcheck // the test reads the file again
			r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return reports.Run{ScanID: fmt.Sprintf("s_%d", w)} })
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 5000 {
				f := service{at: fmt.Sprintf("10.%d.%d.%d:1947/tcp", w, i/250, i%250)}.finding("x", day(1))
				if err := r.Write(t.Context(), f); err != nil {
					t.Error(err)
					return
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runs, err := open(t, path).Runs(t.Context())
	if err != nil || len(runs) != 2 || runs[0].Open != 5000 || runs[1].Open != 5000 {
		t.Errorf("Runs = %+v, %v; want two with 5000 open ports", runs, err)
	}
}

// writeForever is what the killed process does: it says on stdout how many
// findings it knows to be stored.
func writeForever(path string) {
	ctx := context.Background()
	s, err := history.Open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r, err := s.Begin(ctx, plan("10.0.0.0/8"), func() reports.Run { return reports.Run{ScanID: "s_killed"} })
	for i := 0; err == nil; i++ {
		err = r.Write(ctx, service{at: fmt.Sprintf("10.%d.%d.%d:1947/tcp", i>>16&255, i>>8&255, i&255)}.finding("s_killed", day(1)))
		if i%100 == 0 {
			fmt.Println(r.Stored())
		}
	}
	stored := r.Stored()
	fmt.Fprintln(os.Stderr, err)
	again, err := s.Find(ctx, "s_killed")
	fmt.Fprintf(os.Stderr, "said %t, open %t, %v\n", stored > 0, again.Open == stored, err)
	os.Exit(1)
}

// A file system of sixteen megabytes, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare here: the full disk is not tried")
	}
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-Urm"
	}
	dir := t.TempDir()
	if out, err := exec.Command(unshare, flags, "mount", "-t", "tmpfs", "-o", "size=16m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no mount namespace here: %v %s", err, out)
	}
	cmd := exec.Command(unshare, flags, "sh", "-c", `mount -t tmpfs -o size=16m none "$1" && exec "$0"`, os.Args[0], dir)
	cmd.Env = append(os.Environ(), "DORMANT_TEST_WRITER="+filepath.Join(dir, "h.db"))
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err == nil {
		t.Error("the writer ended well; want it to fail")
	}
	for _, want := range []string{"the disk is full: free some space", "said true, open true, <nil>"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the writer said %q; want %q", said.String(), want)
		}
	}
}

func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DORMANT_TEST_WRITER="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said uint64
	for deadline := time.Now().Add(30 * time.Second); said < 3000 && time.Now().Before(deadline); {
		if _, err := fmt.Fscan(out, &said); err != nil {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if said < 3000 {
		t.Fatalf("the writer stored %d findings; want 3000 before it is killed", said)
	}
	s := open(t, path)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].Open < said || runs[0].Status != "unfinished" {
		t.Fatalf("Runs = %+v, %v; want one unfinished with at least the %d findings that were reported as stored", runs, err, said)
	}
	n := 0
	if err := s.Findings(t.Context(), runs[0], func(reports.Finding) error { n++; return nil }); err != nil || uint64(n) != runs[0].Open {
		t.Errorf("Findings = %d, %v; want all %d readable", n, err, runs[0].Open)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	run(t, foreign, `CREATE TABLE bookmarks (url TEXT)`)
	newer := filepath.Join(dir, "newer.db")
	if s, err := history.Open(t.Context(), newer); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	run(t, newer, fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, history.SchemaVersion+1))
	for _, tt := range []struct{ name, path, want string }{
		{"text", write("text.db", "not a database, but longer than its head"), "is damaged"},
		{"short", write("short.db", "SQL"), "is damaged"},
		{"cut pages", write("cut.db", "SQLite format 3\x00"+strings.Repeat("\xff", 5000)), "is damaged"},
		{"another program's", foreign, "of another program"},
		{"newer schema", newer, "use a newer dormant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, err := os.ReadFile(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := history.Open(t.Context(), tt.path)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %v; want one line with %q", err, tt.want)
			}
			after, err := os.ReadFile(tt.path)
			if err != nil || !slices.Equal(before, after) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

func run(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A page in the middle of the file is overwritten: what is read says so, in one
// line, and nothing is written.
func TestDamagedInTheMiddle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	s, err := history.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var many []service
	for i := range 3000 {
		many = append(many, service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", i/250, i%250)})
	}
	record(t, s, "s_1", day(1), plan("10.0.0.0/16"), true, many...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2:], strings.Repeat("\xa5", 100_000))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if _, ok := errors.AsType[*history.DamagedError](s.Check(t.Context())); !ok {
		t.Errorf("Check = %v; want a DamagedError", s.Check(t.Context()))
	}
}

func TestFind(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"))
	for i, id := range []string{"s_aa1", "s_aa2", "s_b"} {
		record(t, s, id, day(i+1), plan("10.0.0.0/24"), true)
	}
	for _, tt := range []struct{ name, want, fault string }{
		{name: "s_aa1", want: "s_aa1"}, {name: "aa2", want: "s_aa2"}, {name: "b", want: "s_b"}, {name: "s_b", want: "s_b"},
		{name: "last", want: "s_b"}, {name: "last~0", want: "s_b"}, {name: "last~2", want: "s_aa1"},
		{name: "last~3", fault: "no such run"}, {name: "s_aa", fault: "more than one"}, {name: "zz", fault: "no such run"},
		{name: "", fault: "want an id"}, {name: "last~x", fault: "want an id"}, {name: "last~-1", fault: "want an id"}, {name: "%", fault: "no such run"},
	} {
		got, err := s.Find(t.Context(), tt.name)
		if got.ID != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("Find(%q) = %q, %v; want %q, error with %q", tt.name, got.ID, err, tt.want, tt.fault)
		}
	}
}

func TestOpenExisting(t *testing.T) {
	if _, err := history.OpenExisting(t.Context(), filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenExisting = %v, want fs.ErrNotExist", err)
	}
}

func TestReviseAndPrune(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"))
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	r := record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, lm, service{at: "10.0.0.2:1947/tcp"})
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
	f, ok, err := s.Finding(t.Context(), r, target)
	if err != nil || !ok {
		t.Fatalf("Finding = %t, %v", ok, err)
	}
	f.Product = "Sentinel LDK"
	rev, err := s.Revise(t.Context(), r, "2.0", []reports.Finding{f})
	if err != nil || rev.Number != 2 {
		t.Fatalf("Revise = %+v, %v", rev, err)
	}
	g, _, err := s.Finding(t.Context(), r, target)
	if err != nil || g.Product != "Sentinel LDK" || g.Dialogue == nil {
		t.Errorf("Finding after Revise = %q with evidence %t, %v; want the new product and the old evidence", g.Product, g.Dialogue != nil, err)
	}
	r2 := record(t, s, "s_2", day(2), plan("10.0.0.0/24"), true, lm)
	if err := s.Prune(t.Context(), []history.Run{r}); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].ID != "s_2" || runs[0].Open != 1 {
		t.Errorf("Runs after Prune = %+v, %v; want s_2 only, whole", runs, err)
	}
	if first, _, err := s.Seen(t.Context(), r2, target); err != nil || first.Day() != 1 {
		t.Errorf("Seen after Prune = %v, %v; want the first day still", first, err)
	}
}

func (k *keep) Write(_ context.Context, f reports.Finding) error {
	k.findings = append(k.findings, f)
	return nil
}
