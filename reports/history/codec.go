package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"

	"dormant/fingerprint"
	"dormant/reports"
)

// The bounds of what is stored of one finding, in bytes.
const (
	maxEvidence = 256 << 10 // deflated; beyond it, answers are cut to cutAnswer
	cutAnswer   = 4 << 10
	maxInflated = 64 << 20 // what a stored text may unpack to, against a damaged or hostile file; the plan of 4 million lone addresses
)

// EvidenceCut is the flag of a finding whose evidence was too long to be kept
// whole. It cannot be judged again.
const EvidenceCut = "evidence_cut"

// packer deflates texts one by one. The zero value is ready; it is not safe for
// concurrent use.
type packer struct{ buf bytes.Buffer }

// pack returns the deflated text. The caller owns it. What unpack would refuse is
// not packed: no peer can say that much, but the file of an import can.
func (p *packer) pack(text []byte) ([]byte, error) {
	if len(text) > maxInflated {
		return nil, errTooLong
	}
	p.buf.Reset()
	if err := flate.StatelessDeflate(&p.buf, text, true, []byte(dictionary)); err != nil {
		return nil, fmt.Errorf("history: pack: %w", err)
	}
	return bytes.Clone(p.buf.Bytes()), nil
}

var errTooLong = errors.New("history: a text is longer than any that this program stores")

// unpacker inflates texts one by one; making the tables for each would cost more
// than the text. The zero value is ready; it is not safe for concurrent use.
type unpacker struct {
	in  bytes.Reader
	r   io.ReadCloser
	buf bytes.Buffer
}

// unpack inflates what pack returned. The text is valid until the next one.
func (u *unpacker) unpack(b []byte) ([]byte, error) {
	u.in.Reset(b)
	u.buf.Reset()
	if u.r == nil {
		u.r = flate.NewReaderDict(&u.in, []byte(dictionary))
	} else if err := u.r.(flate.Resetter).Reset(&u.in, []byte(dictionary)); err != nil {
		return nil, fmt.Errorf("history: unpack: %w", err)
	}
	if _, err := u.buf.ReadFrom(io.LimitReader(u.r, maxInflated+1)); err != nil {
		return nil, fmt.Errorf("history: a stored text is damaged: %w", err)
	}
	if u.buf.Len() > maxInflated {
		return nil, errTooLong
	}
	return u.buf.Bytes(), nil
}

// unpack inflates one text.
func unpack(b []byte) ([]byte, error) { return new(unpacker).unpack(b) }

// packed is a finding as it is stored.
type packed struct {
	key              []byte
	digest           int64
	mac, cert, host  int64
	first, last      int64 // observed, nanoseconds since 1970
	facets           facets
	detail, evidence []byte
	replaces         bool // the run has this target already
}

var errBare = errors.New("history: a finding without a state or a reason cannot be stored")

// packFinding packs an open finding.
func (p *packer) packFinding(f reports.Finding) (packed, error) {
	if f.State == 0 || f.Reason == 0 {
		return packed{}, errBare
	}
	at := f.ObservedAt.UnixNano()
	out := packed{
		key: appendKey(nil, target(&f)), digest: digest(&f), first: at, last: at,
		mac: identity(f.MAC), cert: identity(f.TLSCert), host: identity(f.Hostname), facets: facetsOf(&f),
	}
	var err error
	if f.Dialogue != nil {
		if out.evidence, err = p.packEvidence(&f); err != nil {
			return packed{}, err
		}
	}
	f.Dialogue = nil // kept beside it
	f.Change, f.FirstSeen, f.LastSeen = "", f.FirstSeen.UTC(), f.LastSeen.UTC()
	text, err := json.Marshal(&f)
	if err != nil {
		return packed{}, fmt.Errorf("history: finding %v: %w", target(&f), err)
	}
	out.detail, err = p.pack(text)
	return out, err
}

// packEvidence packs the dialogue, and cuts it and flags f if it is too long.
func (p *packer) packEvidence(f *reports.Finding) ([]byte, error) {
	b, err := p.pack(reports.CanonicalEvidence(f.Dialogue))
	if err != nil || len(b) <= maxEvidence {
		return b, err
	}
	ev := *f.Dialogue
	ev.Exchanges = append([]fingerprint.Exchange(nil), ev.Exchanges...)
	for i := range ev.Exchanges {
		x := &ev.Exchanges[i]
		x.Received = x.Received[:min(len(x.Received), cutAnswer)]
	}
	f.Flags = append(append([]string(nil), f.Flags...), EvidenceCut)
	return p.pack(reports.CanonicalEvidence(&ev))
}

// unpackFinding reads one stored finding.
func unpackFinding(detail, evidence []byte) (reports.Finding, error) {
	return new(unpacker).finding(detail, evidence)
}

// finding reads a stored finding; evidence may be empty.
func (u *unpacker) finding(detail, evidence []byte) (reports.Finding, error) {
	var f reports.Finding
	text, err := u.unpack(detail)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("history: a stored finding is damaged: %w", err)
	}
	if len(evidence) == 0 {
		return f, nil
	}
	if text, err = u.unpack(evidence); err != nil {
		return f, err
	}
	f.Dialogue = new(fingerprint.Evidence)
	if err := json.Unmarshal(text, f.Dialogue); err != nil {
		return f, fmt.Errorf("history: stored evidence is damaged: %w", err)
	}
	return f, nil
}

// digest is a hash of what makes a finding changed: the verdict, the product,
// the version and the certificate, and of a named service what it speaks. It is
// 0 when nothing was judged, and never 0 else.
func digest(f *reports.Finding) int64 {
	if f.Verdict == 0 {
		return 0
	}
	var text strings.Builder
	for _, x := range compared(f) {
		text.WriteString(x.value)
		text.WriteByte(0)
	}
	return hash(text.String())
}

// identity is a hash of a name that a machine keeps when it moves; 0 is none.
func identity(s string) int64 {
	if s == "" {
		return 0
	}
	return hash(strings.ToLower(s))
}

func hash(s string) int64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s) // a hash never fails
	return max(int64(h.Sum64()&(1<<63-1)), 1)
}

// dictionary is what stored texts have in common. It is part of the format of
// schema 1 and must never change.
const dictionary = `","Flags":null,"Change":"","FirstSeen":"0001-01-01T00:00:00Z","LastSeen":"0001-01-01T00:00:00Z","Owner":"","Expected":"","Ticket":"","FWEffect":"","FWRule":"","Clients":-1,"Note":"","Full":{"verdict":"","reason":"","confidence":,"service":"","product":"","version":"","cpe":"cpe:2.3:a:","rule_id":"","signs":[{"rule":"","kind":"http_header","class":"known_service","reason":"","points":,"probe":"get10","excerpt":"HTTP/1.1 200 OK","source":"","service":"http","product":"","decided":true}],"flags":["self_signed"],"hints":["` +
	`"],"settle":["On the host: ss -ltnp 'sport = :' (Linux) or Get-NetTCPConnection -LocalPort  | % OwningProcess (Windows).","Then path, signature, parent and start time of that process; ask its owner. Do not connect by hand, do not kill it first."],"severity":"info","tls_cn":"","tls_cert":"sha256:"},"Dialogue":null}` +
	`{"Schema":1,"ScanID":"s_","Site":"","Vantage":"","ObservedAt":"2026-11-22T00:00:00Z","IP":"10.0.0.1","Hostname":"","MAC":"","MACVendor":"","Transport":"tcp","Port":1947,"IANAName":"sentinelsrm","State":"open","Reason":"syn-ack","ReasonIP":"10.0.0.1","TTL":64,"RTT":,"ProbesSent":1,"ProbesAnswered":1,"Confirmed":"yes","Service":"http","Product":"","Version":"","CPE":"","Verdict":"license_manager","Confidence":95,"RuleID":"","Evidence":"Server: ","EvidenceID":"sha256:","TLSName":"","TLSCert":"","JARM":"","Severity":"low","Flags":["` +
	`{"target":{"Addr":"10.0.0.1","Port":"1947/tcp"},"started":"2026-11-22T00:00:00Z","status":"done","exchanges":[{"conn":1,"probe":"silence","end":"timeout","connect_ns":,"elapsed_ns":,"tcp_info":{"unacked":0,"total_retrans":0,"bytes_acked":1,"snd_wnd":0,"has_snd_wnd":true,"rtt_ns":,"zero_window_probes":false}},{"conn":1,"probe":"get10","at_ns":3000000000,"sent":"R0VUIC8gSFRUUC8xLjANCg0K","received":"SFRUUC8xLj","chunks":[{"at_ns":,"bytes":}],"end":"fin","first_byte_ns":,"elapsed_ns":}],"host":{"canaries_asked":2,"canaries_open":0,"open_ports":["1947/tcp","3588/tcp"]},"connections":1,"bytes_sent":18,"bytes_received":,"elapsed_ns":`
