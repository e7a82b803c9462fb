package history_test

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
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
	speaks             string            // "": hasp-acc
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
	v := fingerprint.Verdict{Class: cmp.Or(s.verdict, fingerprint.LicenseManager), Confidence: 95, Service: cmp.Or(s.speaks, "hasp-acc"), Product: s.product, Version: s.version,
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
	return end(t, s, r, id)
}

// end closes the recorder of a run and returns the run as it is stored.
func end(t testing.TB, s *history.Store, r *history.Recorder, id string) history.Run {
	t.Helper()
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
