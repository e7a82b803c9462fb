package registry

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func builtIn(t testing.TB) *Registry {
	t.Helper()
	r, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaultKnowsTheSixPorts(t *testing.T) {
	r := builtIn(t)
	want := map[string]string{
		"475/tcp": "tcpnethaspsrv", "475/udp": "tcpnethaspsrv", "1947/tcp": "sentinelsrm", "1947/udp": "sentinelsrm",
		"3047/tcp": "hlserver", "3047/udp": "hlserver", "3588/tcp": "sentinel", "3588/udp": "sentinel",
		"3712/tcp": "sentinel-ent", "3712/udp": "sentinel-ent", "5093/tcp": "sentinel-lm", "5093/udp": "sentinel-lm",
	}
	got := map[string]string{}
	for _, e := range r.Entries() {
		for _, p := range e.Ports() {
			got[p.String()] = r.Name(p)
			if same, ok := r.Lookup(p); !ok || same.Title != e.Title {
				t.Errorf("Lookup(%v) = %q, %t; want the dossier %q", p, same.Title, ok, e.Title)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if name := r.Name(Port{8080, TCP}); name != "" {
		t.Errorf("Name(8080/tcp) = %q, want nothing without an import", name)
	}
}

// TestDefaultIsWhole holds every dossier against what a reader expects of it.
func TestDefaultIsWhole(t *testing.T) {
	status := map[uint16]Status{475: Legacy, 1947: Current, 3047: Legacy, 3588: Ghost, 3712: Ghost, 5093: Current}
	for _, e := range builtIn(t).Entries() {
		if e.Status != status[e.Number] {
			t.Errorf("%d: status %q, want %q", e.Number, e.Status, status[e.Number])
		}
		topics := map[Topic]bool{}
		for _, f := range e.Facts {
			topics[f.Topic] = true
		}
		for _, want := range []Topic{TopicRegistration, TopicPurpose, TopicToday, TopicFound, TopicProtocol, TopicAdvice} {
			if !topics[want] {
				t.Errorf("%d: no fact of topic %q", e.Number, want)
			}
		}
		systems := map[string]bool{}
		for _, c := range e.Checks {
			systems[c.System] = true
		}
		for _, want := range []string{"Linux", "Linux and macOS", "Windows (prompt as Administrator)", "Windows PowerShell"} {
			if !systems[want] {
				t.Errorf("%d: no check command for %q", e.Number, want)
			}
		}
		if len(e.Lineage) < 5 || len(e.Related) == 0 || len(e.Products) == 0 {
			t.Errorf("%d: %d events, %d related ports, %d products; want some of each", e.Number, len(e.Lineage), len(e.Related), len(e.Products))
		}
	}
}

// TestChecksNameTheirPort fails when a command of one port is shown at another.
func TestChecksNameTheirPort(t *testing.T) {
	e, _ := builtIn(t).Lookup(Port{5093, UDP})
	if got, want := e.Checks[1].Command, "sudo ss -tulnp 'sport = :5093'"; got != want {
		t.Errorf("second check of 5093 = %q, want %q", got, want)
	}
}

func TestOverlay(t *testing.T) {
	const own = `
sources: {wiki: our wiki}
ports:
  - port: 9000
    title: Own tool
    status: current
    summary: Ours.
    transports: [{transport: tcp, speaks: http, standing: evidence, confidence: high, source: wiki}]
  - port: 3712
    title: Build server
    status: current
    summary: Ours as well.
    transports: [{transport: tcp, speaks: http, standing: evidence, confidence: high, source: wiki}]
`
	over, err := Load(fstest.MapFS{"own.yaml": {Data: []byte(own)}})
	if err != nil {
		t.Fatal(err)
	}
	r := builtIn(t).Overlay(over)
	var got []uint16
	for _, e := range r.Entries() {
		got = append(got, e.Number)
	}
	if d := cmp.Diff([]uint16{475, 1947, 3047, 3588, 3712, 5093, 9000}, got); d != "" {
		t.Errorf("numbers (-want +got):\n%s", d)
	}
	e, ok := r.Lookup(Port{3712, TCP})
	if !ok || e.Title != "Build server" {
		t.Errorf("3712/tcp = %q, %t; want the user's dossier", e.Title, ok)
	}
	if _, ok := r.Lookup(Port{3712, UDP}); ok {
		t.Error("3712/udp is found, want nothing: the user's dossier replaces the whole number and has tcp only")
	}
	if e, _ := r.Lookup(Port{9000, TCP}); len(e.Checks) == 0 || e.Checks[0].Command != "sudo ss -tlnp | grep 9000" {
		t.Errorf("checks of 9000 = %+v, want the common ones for 9000", e.Checks)
	}
	if _, ok := builtIn(t).Lookup(Port{9000, TCP}); ok {
		t.Error("the built-in registry was changed by an overlay")
	}
}

func TestRange(t *testing.T) {
	for n, want := range map[uint16]string{475: "system", 1023: "system", 1024: "registered", 49151: "registered", 49152: "dynamic", 65535: "dynamic"} {
		if got := Range(n); got != want {
			t.Errorf("Range(%d) = %q, want %q", n, got, want)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Default(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestIANAFile reads the list that IANA publishes, where the environment names a copy.
func TestIANAFile(t *testing.T) {
	path := os.Getenv("DORMANT_TEST_IANA")
	if path == "" {
		t.Skip("DORMANT_TEST_IANA does not name a copy of service-names-port-numbers.csv")
	}
	n, err := LoadIANA(path)
	if err != nil {
		t.Fatal(err)
	}
	r := builtIn(t).WithIANA(n)
	for p, want := range map[Port]string{{22, TCP}: "ssh", {80, TCP}: "http", {6010, TCP}: "x11", {3588, UDP}: "sentinel", {65535, TCP}: ""} {
		if got := r.Name(p); got != want {
			t.Errorf("Name(%v) = %q, want %q", p, got, want)
		}
	}
	t.Logf("%d rows", n.Len())
}
