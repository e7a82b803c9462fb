package fingerprint

import "fmt"

// Class is the verdict's word. The zero value means "not judged": the port is
// not open, or no dialogue was held.
type Class uint8

// The classes, in the words of every output.
const (
	LicenseManager Class = iota + 1
	DevServer
	KnownService
	OpenShell
	TunnelOrProxy
	PossibleC2
	Middlebox
	Tarpit
	Unidentified
)

func classNames() [10]string {
	return [...]string{"", "license_manager", "dev_server", "known_service", "open_shell", "tunnel_or_proxy",
		"possible_c2", "middlebox", "tarpit", "unidentified"}
}

// String returns the word that every output uses, "" for the zero value.
func (c Class) String() string {
	names := classNames()
	if int(c) >= len(names) {
		return fmt.Sprintf("class(%d)", uint8(c))
	}
	return names[c]
}

// ParseClass reads a word that String returns, except the empty one.
func ParseClass(word string) (Class, error) {
	for c, name := range classNames() {
		if c > 0 && name == word {
			return Class(c), nil
		}
	}
	return 0, fmt.Errorf("fingerprint: verdict %q: want license_manager, dev_server, known_service, open_shell, tunnel_or_proxy, possible_c2, middlebox, tarpit or unidentified", word)
}

// MarshalText returns the word.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word.
func (c *Class) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*c = 0
		return nil
	}
	*c, err = ParseClass(string(text))
	return err
}

// Verdict is what an answer means, with everything that it rests on.
type Verdict struct {
	Class Class `json:"verdict"`
	// Reason is the code within the class: "syn_proxy", "posix", "debugger", …
	Reason string `json:"reason,omitempty"`
	// Confidence is 0 to 100: from 85 high, from 60 medium, from 40 low.
	Confidence int `json:"confidence"`
	// Service is what was proved to be spoken ("hasp-acc", "http", "ssh"),
	// "silent" or "unknown"; never the registry's name for the port.
	Service string `json:"service"`
	Product string `json:"product,omitempty"`
	Version string `json:"version,omitempty"` // as the peer wrote it, cut and escaped
	CPE     string `json:"cpe,omitempty"`
	RuleID  string `json:"rule_id,omitempty"`
	Family  string `json:"family,omitempty"` // of a possible_c2
	// Signs are all the evidence found, the strongest first; those that decided
	// have Decided set.
	Signs []Sign `json:"signs,omitempty"`
	// Flags are facts beside the verdict: "udp_amplifier_x14", "acc_reachable",
	// "debugger", "self_signed", "off_registry", …
	Flags []string `json:"flags,omitempty"`
	// Hints are weak observations, Settle says what would settle the question;
	// both are sentences for people.
	Hints  []string `json:"hints,omitempty"`
	Settle []string `json:"settle,omitempty"`
	// Severity is info, low, medium or high.
	Severity string `json:"severity"`
	// TLS facts for the report, when a certificate was seen.
	TLSName string `json:"tls_cn,omitempty"`
	TLSCert string `json:"tls_cert,omitempty"` // "sha256:…" of the leaf
	JARM    string `json:"jarm,omitempty"`
	// Hostname is a name that the peer gave for itself in its own protocol.
	Hostname string `json:"hostname,omitempty"`
}

// Kind groups signs: within a kind only the best counts.
type Kind string

// The kinds of evidence.
const (
	KindCert       Kind = "cert"
	KindHTTPHeader Kind = "http_header"
	KindHTTPBody   Kind = "http_body"
	KindBanner     Kind = "banner"
	KindShell      Kind = "shell"
	KindExec       Kind = "exec"
	KindTLSStack   Kind = "tls_stack"
	KindBehaviour  Kind = "behaviour"
	KindContext    Kind = "context"
	KindProtocol   Kind = "protocol" // the structured reply of a named protocol to its own opener
)

// Sign is one piece of evidence: which rule saw what, where.
type Sign struct {
	Rule   string `json:"rule"`
	Kind   Kind   `json:"kind"`
	Class  Class  `json:"class"`
	Reason string `json:"reason,omitempty"`
	Points int    `json:"points"` // specific 60–95, medium 25–40, weak 5–15
	Probe  string `json:"probe"`
	// Excerpt is what was seen: the bytes that matched, or the rule's words for
	// them. It is printable ASCII, one line, at most 200 bytes.
	Excerpt string `json:"excerpt"`
	Source  string `json:"source,omitempty"`
	Service string `json:"service,omitempty"`
	Product string `json:"product,omitempty"`
	Version string `json:"version,omitempty"`
	CPE     string `json:"cpe,omitempty"`
	Family  string `json:"family,omitempty"`
	Decided bool   `json:"decided,omitempty"`
	// Lost says why a sign did not decide, in a few words.
	Lost string `json:"lost,omitempty"`
}
