package reports

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/listeners"
)

var localTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// local is a finding of this host, network one of a scan.
func localRow(ip string, port uint16, class fingerprint.Class) Finding {
	l := listeners.Listener{Port: registry.Port{Number: port, Proto: registry.TCP}, Role: listeners.Listens,
		Process: &listeners.Process{PID: 7, Name: "node", Path: "/usr/bin/node", Script: "vite", User: "dev", Packed: true}}
	v := &fingerprint.Verdict{Class: class, Confidence: 60, Service: "unknown", Severity: "info"}
	return NewLocalFinding(Meta{Vantage: LocalVantage}, "box", "sentinel-ent", l, netip.MustParseAddr(ip), localTime, listeners.Ephemeral{First: 1024, Last: 5000}, v)
}

func TestNewLocalFinding(t *testing.T) {
	got := localRow("127.0.0.1", 3712, fingerprint.DevServer)
	got.Full = nil
	want := Finding{
		Schema: 1, Vantage: "local", ObservedAt: localTime, IP: netip.MustParseAddr("127.0.0.1"), Hostname: "box", Transport: registry.TCP, Port: 3712,
		IANAName: "sentinel-ent", State: scanner.Open, Reason: scanner.LocalSocket, Confirmed: "no", Service: "unknown", Verdict: fingerprint.DevServer,
		Confidence: 60, Severity: "info", Flags: []string{"ephemeral_range", "loopback_only"}, Clients: -1,
		Note: "node (pid 7), /usr/bin/node, runs vite, user dev, of no package",
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("finding (-want +got):\n%s", d)
	}
	if f := localRow("10.0.0.1", 475, fingerprint.DevServer); len(f.Flags) != 0 {
		t.Errorf("port 475 on the network: flags %v, want none", f.Flags)
	}
}

func TestHolder(t *testing.T) {
	node := listeners.Process{PID: 7, Name: "node", Path: "/usr/bin/node", Packed: true}
	packed, unknown, deleted := node, node, node
	packed.Package, unknown.Packed, deleted.Path = "nodejs", false, ""
	for want, l := range map[string]listeners.Listener{
		"process not visible (needs root), user root":                             {User: "root"},
		"node (pid 7), /usr/bin/node, of no package":                              {Process: &node},
		"node (pid 7), /usr/bin/node, package nodejs":                             {Process: &packed},
		"node (pid 7), /usr/bin/node":                                             {Process: &unknown},
		"node (pid 7)":                                                            {Process: &deleted},
		"node (pid 7), /usr/bin/node, package nodejs, shared with 1 more process": {Process: &packed, Shared: 1},
	} {
		if got := Holder(l); got != want {
			t.Errorf("Holder = %q, want %q", got, want)
		}
	}
}

func TestJoinHost(t *testing.T) {
	const me, other = "10.0.0.1", "10.0.0.2"
	network := func(ip string, port uint16, state scanner.State, class fingerprint.Class) Finding {
		return Finding{Schema: 1, ObservedAt: localTime, IP: netip.MustParseAddr(ip), Transport: registry.TCP, Port: port, State: state, Reason: scanner.SynAck, Verdict: class, Clients: -1}
	}
	host := []Finding{
		localRow(me, 1, fingerprint.DevServer), localRow(me, 2, fingerprint.DevServer), localRow(me, 3, fingerprint.DevServer), localRow(me, 4, fingerprint.DevServer),
		localRow("127.0.0.1", 5, fingerprint.DevServer), localRow(me, 9, fingerprint.LicenseManager), localRow(me, 10, fingerprint.Unidentified),
		localRow("172.17.0.2", 11, fingerprint.DevServer), localRow("172.17.0.3", 12, fingerprint.DevServer),
	}
	scan := []Finding{
		network(me, 1, scanner.Open, fingerprint.KnownService), network(me, 2, scanner.Filtered, 0), network(me, 4, scanner.OpenFiltered, 0),
		network(me, 6, scanner.Open, fingerprint.LicenseManager), network(other, 7, scanner.Open, 0), network(me, 8, scanner.Closed, 0),
		network(me, 9, scanner.Open, fingerprint.OpenShell), network(me, 10, scanner.Open, fingerprint.OpenShell),
		network("172.17.0.3", 12, scanner.Open, fingerprint.DevServer),
	}
	// through the CSV that a scan writes
	var b bytes.Buffer
	w, err := NewCSV(&b, CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range scan {
		if err := w.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := ReadScanCSV("x", &b)
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint16]Agreement{}
	for _, j := range JoinHost(host, read, []netip.Addr{netip.MustParseAddr(me)}) {
		got[j.Target.Port.Number] = j.Result
	}
	want := map[uint16]Agreement{1: Agree, 2: Blocked, 3: NotSeen, 4: NotSeen, 5: LocalOnly, 6: NotHere, 9: Contrary, 10: Agree, 11: NotScanned, 12: Agree}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("agreements by port (-want +got):\n%s", d)
	}
}

func TestReadScanCSVFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":      "reports: x: want the CSV of a scan: the file is empty",
		"a,b\n": "reports: x:1: no column ip",
		"ip,transport,port,state\n10.0.0,tcp,1,open\n":                        `reports: x:2: ip "10.0.0": want an address`,
		"ip,transport,port,state\n10.0.0.1,tcp,1,open\n10.0.0.1,tcp,0,open\n": `reports: x:3: registry: port number "0"`,
		"ip,transport,port,state\n10.0.0.1,tcp,1,ajar\n":                      `reports: x:2: scanner: state "ajar"`,
		"ip,transport,port,state\n" + strings.Repeat("a", 1<<16+1):            `reports: x: line 2 has more than 65536 bytes`,
	} {
		if _, err := ReadScanCSV("x", strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s…", text, err, want)
		}
	}
}

// FuzzReadScanCSV holds that what is read is whole.
func FuzzReadScanCSV(f *testing.F) {
	f.Add("ip,transport,port,state,verdict,observed_at\n10.0.0.1,tcp,1947,open,license_manager,2026-01-02T03:04:05.000Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, _ := ReadScanCSV("x", strings.NewReader(text))
		for _, r := range all {
			if !r.IP.IsValid() || r.Port == 0 || r.State == 0 || r.Transport == 0 {
				t.Fatalf("half a finding: %+v", r)
			}
		}
	})
}
