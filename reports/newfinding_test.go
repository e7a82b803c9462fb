package reports

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"math/big"
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

// TestNoteSaysHowLongACertificateIsValid: an auditor finds what expired, and what
// soon will, in the column note.
func TestNoteSaysHowLongACertificateIsValid(t *testing.T) {
	ends := time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.CreateCertificate(nil, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ev := &fingerprint.Evidence{Exchanges: []fingerprint.Exchange{
		{}, {TLS: &fingerprint.TLSInfo{}}, {TLS: &fingerprint.TLSInfo{Chain: [][]byte{[]byte("no certificate")}}}, {TLS: &fingerprint.TLSInfo{Chain: [][]byte{der, {}}}},
	}}
	v := &fingerprint.Verdict{Reason: "generic_https", Hints: []string{"A hint."}}
	for _, tt := range []struct {
		at   time.Time
		ev   *fingerprint.Evidence
		want string
	}{
		{at: ends.Add(-49 * time.Hour), ev: ev, want: "generic_https; certificate until 2027-03-31, 2 days left; A hint."},
		{at: ends.Add(-25 * time.Hour), ev: ev, want: "generic_https; certificate until 2027-03-31, 1 day left; A hint."},
		{at: ends, ev: ev, want: "generic_https; certificate until 2027-03-31, 0 days left; A hint."},
		{at: ends.Add(time.Second), ev: ev, want: "generic_https; certificate expired on 2027-03-31; A hint."},
		{at: ends, ev: &fingerprint.Evidence{Exchanges: ev.Exchanges[:3]}, want: "generic_https; A hint."},
		{at: ends, want: "generic_https; A hint."},
	} {
		f := NewFinding(Meta{}, "", scanner.Observation{State: scanner.Open, At: tt.at}, v, tt.ev)
		if f.Note != tt.want {
			t.Errorf("at %v: note = %q, want %q", tt.at, f.Note, tt.want)
		}
		f.Full = v
		if own := ownNote(&f); own != strings.TrimSuffix(tt.want, "; A hint.") {
			t.Errorf("at %v: on the page %q", tt.at, own)
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
