package registry

import (
	"slices"
	"strings"
)

// Entry is the dossier of one port number: what is registered, what became of
// it, what is really found there, how to check and what to do. All of it is a
// claim about the port, never evidence of what runs on a machine. The zero
// value is an unknown port. Entries are shared: treat them as read-only.
type Entry struct {
	Number        uint16         `json:"port"`          // 1 to 65535
	Title         string         `json:"title"`         // the product or service that the number is known for
	Label         string         `json:"label"`         // how a report may name the port without claiming more than is known
	Status        Status         `json:"status"`        // how alive the registration is
	Summary       string         `json:"summary"`       // one paragraph
	Registrations []Registration `json:"registrations"` // one a transport, may be empty for a user's own port
	Transports    []Transport    `json:"transports"`    // at least one, tcp before udp
	Facts         []Fact         `json:"facts"`
	Lineage       []Event        `json:"lineage,omitempty"` // oldest first
	Products      []Product      `json:"products,omitempty"`
	Processes     []Process      `json:"processes,omitempty"`
	Checks        []Check        `json:"checks,omitempty"` // commands for this very port
	Related       []Related      `json:"related,omitempty"`
}

// Status is how alive a registration is. The zero value is not set.
type Status string

// The statuses of a registration.
const (
	Ghost   Status = "ghost"   // registered, and never seen or long gone
	Legacy  Status = "legacy"  // the product is discontinued, installations remain
	Current Status = "current" // the product is maintained and uses the port
)

// Transport is what is known of a port on one transport.
type Transport struct {
	Proto  Proto  `json:"transport"`
	Speaks string `json:"speaks"` // the protocol, or that none is known
	Ask    string `json:"ask"`    // what dormant sends
	Sign   string `json:"sign"`   // the answer that proves it, or that nothing does
	Mark
}

// Mark says where a statement comes from and how far to trust it.
type Mark struct {
	Standing   Standing   `json:"standing" yaml:"standing"`
	Confidence Confidence `json:"confidence" yaml:"confidence"`
	// Source is the full name of the source; in a file it is a key of "sources".
	Source string `json:"source" yaml:"source"`
}

// Standing is how a statement relates to the port's published account.
type Standing string

// The standings.
const (
	Account     Standing = "account"     // told by the published account of the port
	Evidence    Standing = "evidence"    // added by protocol evidence: packets, manuals, program files
	Contradicts Standing = "contradicts" // protocol evidence says otherwise than the account
)

// Confidence is how far a statement can be built on.
type Confidence string

// The confidences.
const (
	High   Confidence = "high"   // real bytes, a registry or a vendor's document
	Medium Confidence = "medium" // one indirect or old source, or a consistent inference
	Low    Confidence = "low"    // unverified or disputed
)

// Fact is one statement about a port.
type Fact struct {
	Topic Topic  `json:"topic" yaml:"topic"`
	Text  string `json:"text" yaml:"text"`
	Mark  `yaml:",inline"`
}

// Topic groups facts; the order of Topics is the order of reading.
type Topic string

// The topics.
const (
	TopicRegistration Topic = "registration" // who asked for the number, and when
	TopicPurpose      Topic = "purpose"      // what it was meant for
	TopicToday        Topic = "today"        // what became of it
	TopicFound        Topic = "found"        // what answers there instead
	TopicProtocol     Topic = "protocol"     // what is known of the bytes
	TopicExposure     Topic = "exposure"     // what is at risk, and what noise is normal
	TopicFirewall     Topic = "firewall"     // what a rule change does
	TopicOutside      Topic = "outside"      // what to do when a license manager here answers outsiders
	TopicWhy          Topic = "why"          // why registered and dormant ports matter
	TopicAdvice       Topic = "advice"       // what to do after a find
)

// Topics returns all topics in the order of reading.
func Topics() []Topic {
	return []Topic{TopicRegistration, TopicPurpose, TopicToday, TopicFound, TopicProtocol,
		TopicExposure, TopicFirewall, TopicOutside, TopicWhy, TopicAdvice}
}

// Event is one date of the lineage of the vendors behind a port.
type Event struct {
	Date string `json:"date" yaml:"date"` // "2004-03-15", "2019-04", "1990s", "about 1996"
	Text string `json:"text" yaml:"text"`
	Mark `yaml:",inline"`
}

// Product is a product of the lineage and the ports that it uses.
type Product struct {
	Name  string   `json:"name" yaml:"name"`
	Ports []string `json:"ports" yaml:"ports"` // "1947/tcp"; empty when it uses none
	Note  string   `json:"note,omitempty" yaml:"note"`
	Mark  `yaml:",inline"`
}

// Process is a program that is known to listen on a port.
type Process struct {
	Name   string `json:"name" yaml:"name"`     // as a process list shows it
	System string `json:"system" yaml:"system"` // Windows, Linux, macOS, …
	Note   string `json:"note,omitempty" yaml:"note"`
	Mark   `yaml:",inline"`
}

// Check is one command that tells what listens on a port of the machine that
// it is run on. In a file {port} stands for the number.
type Check struct {
	System  string `json:"system" yaml:"system"`
	Command string `json:"command" yaml:"command"`
	Note    string `json:"note,omitempty" yaml:"note"`
	Mark    `yaml:",inline"`
}

// Related is another port that belongs to the story.
type Related struct {
	Port string `json:"port" yaml:"port"` // "1947", "5093/udp", "7001-7002"
	Text string `json:"text" yaml:"text"`
}

// Covers reports whether the dossier speaks of p.
func (e Entry) Covers(p Port) bool {
	return e.Number == p.Number && slices.ContainsFunc(e.Transports, func(t Transport) bool { return t.Proto == p.Proto })
}

// Outside returns what to do when a license manager on this port answers where
// outsiders are, "" where the dossier does not say.
func (e Entry) Outside() string {
	var texts []string
	for _, f := range e.Facts {
		if f.Topic == TopicOutside {
			texts = append(texts, f.Text)
		}
	}
	return strings.Join(texts, " ")
}

// Ports returns the number on each transport of the dossier.
func (e Entry) Ports() []Port {
	ports := make([]Port, len(e.Transports))
	for i, t := range e.Transports {
		ports[i] = Port{Number: e.Number, Proto: t.Proto}
	}
	return ports
}

// Range names the range of IANA's that a port number lies in (RFC 6335
// section 6): system, registered or dynamic.
func Range(number uint16) string {
	switch {
	case number < 1024:
		return "system"
	case number < 49152:
		return "registered"
	default:
		return "dynamic"
	}
}
