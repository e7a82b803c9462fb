package reports

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/scanner"
)

// The words of Finding.Confirmed.
const (
	ConfirmedYes = "yes" // a handshake was completed, or a datagram came back
	ConfirmedNo  = "no"  // only a SYN-ACK was seen, or nobody was behind it
	ConfirmedNA  = "n_a" // the port is not open
)

// Meta is what all findings of a run have in common.
type Meta struct {
	ScanID  string // "s_" and a sortable id
	Site    string
	Vantage string
	Ticket  string
	// Handshakes is true when the sweep itself completed the handshake of every
	// port that it calls open, as the connect backend does.
	Handshakes bool
}

// NewFinding joins what was observed with what was made of it. iana is the
// registry's name for the port. v is nil when nothing was judged and ev is nil
// when no dialogue was held; the finding keeps both pointers.
func NewFinding(meta Meta, iana string, o scanner.Observation, v *fingerprint.Verdict, ev *fingerprint.Evidence) Finding {
	f := Finding{
		Schema:     SchemaVersion,
		ScanID:     meta.ScanID,
		Site:       meta.Site,
		Vantage:    meta.Vantage,
		Ticket:     meta.Ticket,
		ObservedAt: utc(o.At),
		IP:         o.Addr,
		MAC:        net.HardwareAddr(o.MAC).String(),
		Transport:  o.Port.Proto,
		Port:       o.Port.Number,
		IANAName:   iana,
		State:      o.State,
		Reason:     o.Reason,
		ReasonIP:   o.From,
		TTL:        o.TTL,
		RTT:        o.RTT,
		ProbesSent: int(o.Sent),
		Confirmed:  confirmed(meta, o, v, ev),
		Severity:   "info",
		Clients:    -1,
		Full:       v,
		Dialogue:   ev,
	}
	if answered(o) {
		f.ProbesAnswered = 1
	}
	if ev != nil {
		f.EvidenceID = EvidenceID(ev)
	}
	if v != nil {
		f.judged(v, ev)
	}
	return f
}

// judged copies the verdict into the columns.
func (f *Finding) judged(v *fingerprint.Verdict, ev *fingerprint.Evidence) {
	f.Hostname = v.Hostname
	f.Service, f.Product, f.Version, f.CPE = v.Service, v.Product, v.Version, v.CPE
	f.Verdict, f.Confidence, f.RuleID = v.Class, v.Confidence, v.RuleID
	f.TLSName, f.TLSCert, f.JARM = v.TLSName, v.TLSCert, v.JARM
	f.Flags = slices.Clone(v.Flags)
	f.Evidence = excerpt(v, ev)
	f.Note = note(v, validity(f, ev))
	if v.Severity != "" {
		f.Severity = v.Severity
	}
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0) // without the monotonic reading: findings are compared and stored
}

// answered reports whether a packet from anybody decided the state.
func answered(o scanner.Observation) bool {
	switch o.Reason {
	case scanner.NoResponse, scanner.ARPNoReply, scanner.LocalError, 0:
		return false
	default: // every other reason is a packet
		return true
	}
}

// confirmed says whether "open" was shown by more than a SYN-ACK.
func confirmed(meta Meta, o scanner.Observation, v *fingerprint.Verdict, ev *fingerprint.Evidence) string {
	switch {
	case o.State != scanner.Open:
		return ConfirmedNA
	case o.Reason == scanner.UDPReply:
		return ConfirmedYes
	case v != nil && v.Class == fingerprint.Middlebox && v.Reason == "syn_proxy":
		return ConfirmedNo // the handshake was the filter's
	case ev != nil && shookHands(ev):
		return ConfirmedYes
	case meta.Handshakes && (ev == nil || ev.Status == fingerprint.StatusCancelled || ev.Status == fingerprint.StatusLocalError):
		return ConfirmedYes
	default:
		return ConfirmedNo
	}
}

// shookHands reports whether any exchange ran on an accepted connection.
func shookHands(ev *fingerprint.Evidence) bool {
	return slices.ContainsFunc(ev.Exchanges, func(x fingerprint.Exchange) bool {
		return x.Conn > 0 && x.End != fingerprint.EndRefused && x.End != fingerprint.EndNoConn && x.End != ""
	})
}

// excerpt is what the verdict rests on, in at most maxEvidence bytes of
// printable ASCII: the excerpts of the signs that decided. Where no sign did,
// the first bytes that came are shown: they are all there is.
func excerpt(v *fingerprint.Verdict, ev *fingerprint.Evidence) string {
	var parts []string
	for _, s := range v.Signs {
		if s.Decided && s.Excerpt != "" && !slices.Contains(parts, s.Excerpt) {
			parts = append(parts, s.Excerpt)
		}
	}
	if len(parts) > 0 {
		return escape(strings.Join(parts, "; "), maxEvidence)
	}
	if ev == nil {
		return ""
	}
	for _, x := range ev.Exchanges {
		if len(x.Received) > 0 {
			return onWire(x.Received)
		}
	}
	return ""
}

// onWire is the beginning of what went over the wire, in at most maxEvidence bytes
// of printable ASCII, written as the excerpts of signs are.
func onWire(b []byte) string {
	return escape(fingerprint.Escape(b[:min(len(b), 2*maxEvidence)]), maxEvidence)
}

// validity says until when the certificate of tls_cert is valid, as seen then; ""
// where there is none that can be read.
func validity(f *Finding, ev *fingerprint.Evidence) string {
	if ev == nil {
		return ""
	}
	for _, x := range ev.Exchanges {
		if x.TLS == nil || len(x.TLS.Chain) == 0 {
			continue
		}
		cert, err := x509.ParseCertificate(x.TLS.Chain[0])
		switch {
		case err != nil:
			continue
		case cert.NotAfter.Before(f.ObservedAt):
			return "certificate expired on " + cert.NotAfter.UTC().Format(time.DateOnly)
		default:
			left := uint64(cert.NotAfter.Sub(f.ObservedAt) / (24 * time.Hour))
			return "certificate until " + cert.NotAfter.UTC().Format(time.DateOnly) + ", " + plural(left, "day") + " left"
		}
	}
	return ""
}

// note is what a person should know beside the columns: the code within the
// class, how long the certificate is valid, the hints, and what would settle an
// open question.
func note(v *fingerprint.Verdict, validity string) string {
	var parts []string
	if v.Family != "" {
		parts = append(parts, "family "+v.Family)
	}
	if v.Reason != "" {
		parts = append(parts, v.Reason)
	}
	if validity != "" {
		parts = append(parts, validity)
	}
	parts = append(parts, v.Hints...)
	if len(v.Settle) > 0 {
		parts = append(parts, toSettle+strings.Join(v.Settle, " "))
	}
	return escape(strings.Join(parts, "; "), maxNote)
}

const toSettle = "to settle it: "

// ownNote is the note without what the verdict's hints and their settling say,
// for a page that shows those in places of their own.
func ownNote(f *Finding) string {
	text := escape(f.Note, maxNote)
	if f.Full == nil {
		return text
	}
	from := toSettle
	if len(f.Full.Hints) > 0 {
		from = escape(f.Full.Hints[0], maxNote)
	}
	own, _, found := strings.Cut(text, from)
	if !found {
		return text
	}
	return strings.TrimSuffix(own, "; ")
}

// CanonicalEvidence returns the one JSON text of ev: times in UTC, fields in
// the order of the type, no white space, ASCII. Stored and read back it is the
// same.
func CanonicalEvidence(ev *fingerprint.Evidence) []byte {
	c := *ev
	c.Started = utc(c.Started)
	b, err := json.Marshal(&c)
	if err != nil { // only a time outside the years 0 to 9999 cannot be written
		c.Started = time.Time{}
		b, _ = json.Marshal(&c)
	}
	return appendASCII(make([]byte, 0, len(b)), b)
}

// EvidenceID returns "sha256:" and the hex digest of CanonicalEvidence(ev): the
// key from a finding into evidence.jsonl.
func EvidenceID(ev *fingerprint.Evidence) string {
	sum := sha256.Sum256(CanonicalEvidence(ev))
	return "sha256:" + hex.EncodeToString(sum[:])
}
