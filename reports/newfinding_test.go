package reports

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

func TestConfirmed(t *testing.T) {
	tcp := scanner.Observation{State: scanner.Open, Reason: scanner.SynAck,
		Target: scanner.Target{Port: registry.Port{Number: 1947, Proto: registry.TCP}}}
	udp := scanner.Observation{State: scanner.Open, Reason: scanner.UDPReply,
		Target: scanner.Target{Port: registry.Port{Number: 1947, Proto: registry.UDP}}}
	closed := scanner.Observation{State: scanner.Closed, Reason: scanner.Rst}
	talk := func(status fingerprint.Status, end fingerprint.End) *fingerprint.Evidence {
		return &fingerprint.Evidence{Status: status, Exchanges: []fingerprint.Exchange{{Conn: 1, End: end}}}
	}
	for _, tt := range []struct {
		name string
		meta Meta
		o    scanner.Observation
		v    *fingerprint.Verdict
		ev   *fingerprint.Evidence
		want string
	}{
		{name: "closed", o: closed, want: "n_a"},
		{name: "udp reply", o: udp, want: "yes"},
		{name: "syn-ack only", o: tcp, want: "no"},
		{name: "syn-ack from a backend that shakes hands", meta: Meta{Handshakes: true}, o: tcp, want: "yes"},
		{name: "silent but accepted", o: tcp, ev: talk(fingerprint.StatusDone, fingerprint.EndTimeout), want: "yes"},
		{name: "refused afterwards", o: tcp, ev: talk(fingerprint.StatusRefused, fingerprint.EndRefused), want: "no"},
		{name: "refused after a sweep that shakes hands", meta: Meta{Handshakes: true}, o: tcp,
			ev: talk(fingerprint.StatusRefused, fingerprint.EndRefused), want: "no"},
		{name: "never accepted", o: tcp, ev: talk(fingerprint.StatusNoConnect, fingerprint.EndNoConn), want: "no"},
		{name: "cut short, handshake seen by the sweep", meta: Meta{Handshakes: true}, o: tcp,
			ev: &fingerprint.Evidence{Status: fingerprint.StatusCancelled}, want: "yes"},
		{name: "SYN proxy", o: tcp, ev: talk(fingerprint.StatusDone, fingerprint.EndTimeout),
			v: &fingerprint.Verdict{Class: fingerprint.Middlebox, Reason: "syn_proxy"}, want: "no"},
		{name: "block page", o: tcp, ev: talk(fingerprint.StatusDone, fingerprint.EndFin),
			v: &fingerprint.Verdict{Class: fingerprint.Middlebox, Reason: "block_page"}, want: "yes"},
	} {
		if got := NewFinding(tt.meta, "", tt.o, tt.v, tt.ev).Confirmed; got != tt.want {
			t.Errorf("%s: confirmed = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRegistryNameIsNeverTheService(t *testing.T) {
	o := scanner.Observation{State: scanner.Open, Reason: scanner.SynAck}
	f := NewFinding(Meta{}, "sentinelsrm", o, nil, nil)
	if f.Service != "" || f.Product != "" || f.IANAName != "sentinelsrm" {
		t.Errorf("service, product, iana = %q, %q, %q; want only the registry's name", f.Service, f.Product, f.IANAName)
	}
	f = NewFinding(Meta{}, "sentinelsrm", o, &fingerprint.Verdict{Class: fingerprint.Unidentified, Service: "unknown"}, nil)
	if f.Service != "unknown" {
		t.Errorf("service = %q, want unknown", f.Service)
	}
}

func TestExcerpt(t *testing.T) {
	decided := fingerprint.Sign{Excerpt: "Server: HASP LM/18.00", Decided: true}
	lost := fingerprint.Sign{Excerpt: "lost", Lost: "weak"}
	heard := &fingerprint.Evidence{Exchanges: []fingerprint.Exchange{{}, {Received: []byte("\x00\xffhello\r\n" + strings.Repeat("z", 5000))}}}
	for _, tt := range []struct {
		name  string
		signs []fingerprint.Sign
		ev    *fingerprint.Evidence
		want  string
	}{
		{name: "the sign that decided", signs: []fingerprint.Sign{lost, decided, decided}, want: "Server: HASP LM/18.00"},
		{name: "two signs", signs: []fingerprint.Sign{decided, {Excerpt: `302\n`, Decided: true}}, want: `Server: HASP LM/18.00; 302\n`},
		{name: "no sign, first bytes", signs: []fingerprint.Sign{lost}, ev: heard, want: `\x00\xffhello\r\n` + strings.Repeat("z", 180) + "..."},
		{name: "nothing", ev: &fingerprint.Evidence{}, want: ""},
	} {
		got := NewFinding(Meta{}, "", scanner.Observation{State: scanner.Open}, &fingerprint.Verdict{Signs: tt.signs}, tt.ev).Evidence
		if got != tt.want {
			t.Errorf("%s: evidence = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestEvidenceIDOutlivesStorage reads evidence back from its JSON: the id must
// be the same, and another when one byte differs.
func TestEvidenceIDOutlivesStorage(t *testing.T) {
	ev := &fingerprint.Evidence{
		Target: scanner.Target{
			Addr: netip.MustParseAddr("fe80::1%eth0"), Port: registry.Port{Number: 1947, Proto: registry.TCP},
		},
		Started: time.Now().In(time.FixedZone("here", 3600)), Status: fingerprint.StatusDone,
		Exchanges: []fingerprint.Exchange{{Conn: 1, Sent: []byte{}, Received: []byte{0, 255}, Chunks: []fingerprint.Chunk{}}},
	}
	id := EvidenceID(ev)
	if len(id) != len("sha256:")+64 {
		t.Fatalf("EvidenceID = %q", id)
	}
	var back fingerprint.Evidence
	if err := json.Unmarshal(CanonicalEvidence(ev), &back); err != nil {
		t.Fatal(err)
	}
	if got := EvidenceID(&back); got != id {
		t.Errorf("id after storage = %s, want %s", got, id)
	}
	back.Exchanges[0].Received[1] = 254
	if EvidenceID(&back) == id {
		t.Error("another byte has the same id")
	}
}
