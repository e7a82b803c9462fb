package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// ECS writes one document of the Elastic Common Schema a line, ready for a bulk
// import: what answers is event.kind "state", what the policy forbids "alert".
// event.id is of one target of one run, labels.scan_id of the run.
type ECS struct{ w io.Writer }

var _ Sink = (*ECS)(nil)

// NewECS returns the sink that writes to w.
func NewECS(w io.Writer) *ECS { return &ECS{w} }

// The parts of a document that are used; names are those of the schema.
type (
	ecsDocument struct {
		Timestamp   string            `json:"@timestamp,omitempty"`
		ECS         ecsVersion        `json:"ecs"`
		Message     string            `json:"message"`
		Tags        []string          `json:"tags,omitempty"`
		Labels      map[string]string `json:"labels,omitempty"`
		Event       ecsEvent          `json:"event"`
		Destination ecsHost           `json:"destination"`
		Server      ecsHost           `json:"server"`
		Network     ecsNetwork        `json:"network"`
		Service     *ecsService       `json:"service,omitempty"`
		Observer    ecsObserver       `json:"observer"`
		Rule        *ecsRule          `json:"rule,omitempty"`
		TLS         *ecsTLS           `json:"tls,omitempty"`
		Related     ecsRelated        `json:"related"`
	}
	ecsVersion struct {
		Version string `json:"version"`
	}
	ecsEvent struct {
		Kind     string   `json:"kind"`
		Category []string `json:"category"`
		Type     []string `json:"type"`
		Dataset  string   `json:"dataset"`
		ID       string   `json:"id,omitempty"`
		Hash     string   `json:"hash,omitempty"`
		Reason   string   `json:"reason,omitempty"`
		Severity int      `json:"severity"`
	}
	ecsHost struct {
		IP     string `json:"ip,omitempty"`
		Port   uint16 `json:"port"`
		MAC    string `json:"mac,omitempty"`
		Domain string `json:"domain,omitempty"`
	}
	ecsNetwork struct {
		Transport string `json:"transport"`
		Type      string `json:"type,omitempty"`
		Protocol  string `json:"protocol,omitempty"`
	}
	ecsService struct {
		Name    string `json:"name,omitempty"`
		Type    string `json:"type,omitempty"`
		Version string `json:"version,omitempty"`
		State   string `json:"state"`
	}
	ecsObserver struct {
		Name    string `json:"name,omitempty"`
		Vendor  string `json:"vendor"`
		Product string `json:"product"`
		Type    string `json:"type"`
	}
	ecsRule struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name"`
	}
	ecsTLS struct {
		Server struct {
			Hash    map[string]string `json:"hash,omitempty"`
			Subject string            `json:"subject,omitempty"`
		} `json:"server"`
	}
	ecsRelated struct {
		IP    []string `json:"ip,omitempty"`
		Hosts []string `json:"hosts,omitempty"`
	}
)

const ecsSchema = "8.11.0" // of the field names used here; all of them are older

// Write writes one line.
func (e *ECS) Write(_ context.Context, f Finding) error {
	b, err := json.Marshal(ecsOf(&f))
	if err != nil {
		return fmt.Errorf("reports: ECS of %s: %w", endpoint(&f), err)
	}
	if _, err := e.w.Write(append(appendASCII(make([]byte, 0, len(b)+1), b), '\n')); err != nil {
		return fmt.Errorf("reports: write ECS: %w", err)
	}
	return nil
}

// Close has nothing to complete.
func (e *ECS) Close() error { return nil }

func ecsOf(f *Finding) *ecsDocument {
	host := ecsHost{
		IP: address(f.IP.WithZone("")), Port: f.Port, MAC: ecsMAC(f.MAC), Domain: escape(f.Hostname, maxText),
	}
	d := &ecsDocument{
		ECS: ecsVersion{ecsSchema}, Message: sentence(f), Tags: escapeAll(f.Flags), Destination: host, Server: host,
		Event: ecsEvent{
			Kind: "state", Category: []string{"network"}, Type: []string{"info"}, Dataset: "dormant.service",
			ID: escape(f.ScanID+" "+endpoint(f)+" "+f.Vantage, 2*maxText), Hash: escape(prefixed("sha256:", f.EvidenceID), maxText),
			Reason: escape(f.Note, maxNote), Severity: ecsSeverity(f.Severity),
		},
		Network:  ecsNetwork{Transport: transport(f), Protocol: escape(f.Service, maxText)},
		Observer: ecsObserver{Name: escape(f.Vantage, maxText), Vendor: "dormant", Product: "dormant", Type: "scanner"},
		Labels: map[string]string{
			"scan_id": escape(f.ScanID, maxText), "state": f.State.String(), "reason": f.Reason.String(), "confirmed": f.Confirmed, "verdict": f.Verdict.String(),
			"confidence": confidence(f), "evidence": escape(f.Evidence, maxEvidence), "iana_name": escape(f.IANAName, maxText),
			"site": escape(f.Site, maxText), "ticket": escape(f.Ticket, maxText), "owner": escape(f.Owner, maxText),
			"expected": escape(f.Expected, maxText),
		},
	}
	if !f.ObservedAt.IsZero() {
		d.Timestamp = f.ObservedAt.UTC().Format(time.RFC3339Nano)
	}
	for k, v := range d.Labels {
		if v == "" {
			delete(d.Labels, k)
		}
	}
	if breach(f) {
		d.Event.Kind = "alert"
	}
	if changed(f) {
		d.Event.Type = []string{"change"}
	}
	d.Network.Type = "ipv4"
	if f.IP.Is6() {
		d.Network.Type = "ipv6"
	}
	if f.Service+f.Product+f.Version != "" {
		d.Service = &ecsService{
			Name: escape(f.Product, maxText), Type: escape(f.Service, maxText), Version: escape(f.Version, maxText), State: f.State.String(),
		}
	}
	if f.Verdict != 0 {
		d.Rule = &ecsRule{ID: escape(f.RuleID, maxText), Name: explain(f).Title}
	}
	if f.TLSCert != "" || f.TLSName != "" {
		d.TLS = new(ecsTLS)
		d.TLS.Server.Subject = escape(f.TLSName, maxText)
		if f.TLSCert != "" {
			d.TLS.Server.Hash = map[string]string{"sha256": ecsHash(f.TLSCert)}
		}
	}
	if host.IP != "" {
		d.Related.IP = []string{host.IP}
	}
	if host.Domain != "" {
		d.Related.Hosts = []string{host.Domain}
	}
	return d
}

// ecsSeverity puts the words on the scale that Elastic's rules use.
func ecsSeverity(word string) int {
	switch word {
	case "low":
		return 21
	case "medium":
		return 47
	case "high":
		return 73
	default: // info
		return 0
	}
}

// ecsMAC writes an address as RFC 7042 does, which the schema asks for.
func ecsMAC(mac string) string {
	return strings.ToUpper(strings.ReplaceAll(escape(mac, maxText), ":", "-"))
}

// ecsHash writes a digest without its prefix, in upper case as the schema has it.
func ecsHash(s string) string {
	return strings.ToUpper(escape(strings.TrimPrefix(s, "sha256:"), maxText))
}
