package reports

import (
	"net/netip"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// SchemaVersion is the version of the column contract. New columns are only
// appended.
const SchemaVersion = 1

// Finding is one row of every output: one address × transport × port seen from
// one vantage. The order of the fields is the order of the columns.
type Finding struct {
	Schema         int
	ScanID         string // "s_" and a sortable id
	Site           string
	Vantage        string
	ObservedAt     time.Time // of the packet that decided the state, UTC
	IP             netip.Addr
	Hostname       string
	MAC            string // "00:1a:…", on-link only
	MACVendor      string // reserved: no scan fills it, see doc.go
	Transport      registry.Proto
	Port           uint16
	IANAName       string // the registry's claim, never evidence
	State          scanner.State
	Reason         scanner.Reason
	ReasonIP       netip.Addr
	TTL            uint8
	RTT            time.Duration
	ProbesSent     int
	ProbesAnswered int
	Confirmed      string // yes, no, n_a
	Service        string
	Product        string
	Version        string
	CPE            string
	Verdict        fingerprint.Class
	Confidence     int
	RuleID         string
	Evidence       string
	EvidenceID     string // "sha256:…"
	TLSName        string
	TLSCert        string
	JARM           string
	Severity       string
	Flags          []string
	Change         string
	FirstSeen      time.Time
	LastSeen       time.Time
	Owner          string
	Expected       string
	Ticket         string
	FWEffect       string
	FWRule         string
	Clients        int // -1: not known
	Note           string

	// Full is the whole verdict for the formats that have room for it, nil when
	// nothing was judged. It is not a column.
	Full *fingerprint.Verdict
	// Dialogue is the evidence itself, nil when no dialogue was held. It is not
	// a column.
	Dialogue *fingerprint.Evidence
	// Exposure is set where outsiders may reach a license manager, else nil. It
	// is not a column: flags, severity and note say it there.
	Exposure *Exposure `json:",omitempty"`
}
