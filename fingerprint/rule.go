package fingerprint

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"dormant/registry"
)

// Rule is one product's knowledge: what its answer looks like, what that
// means, where the fact is from, and examples that prove the rule. It is
// immutable after Load; doc.go describes the file that it is read from.
type Rule struct {
	ID      string
	Service string // the protocol spoken, "http", "ssh", …
	Product string // a template, "" where only the protocol is known
	Version string // a template
	CPE     string // a template
	Class   Class
	Reason  string
	Family  string // possible_c2 only
	Kind    Kind
	Points  int             // 1 to 95
	Ports   []registry.Port // where it usually runs: shown to people, never evidence
	On      []string        // the probes whose answers are looked at, empty for all
	Inside  string          // "", "tls" or "plain"
	Flags   []string
	// Confirm is the opener that is said once more where the rule's proof is
	// doubtful: on a port that is not its own, or without a version. "" for none.
	Confirm string
	// Tell is a template of what was seen, in words, for answers whose bytes say
	// nothing to a reader; "" shows the matched bytes. See tell.go.
	Tell string
	// Severity is info, low, medium or high; "" leaves it to the class.
	Severity string
	Hint     string // what a reader should know about this answer
	Settle   string // what would settle what the rule leaves open
	Note     string // how sure the rule itself is, "from documentation"
	Sources  []string
	Examples []Example // none when Default read the rule
	Not      []Example
	File     string // where the rule was read

	conditions []condition
	doc        document
}

// Example is an answer with the fields that it must give, or, under "not", one
// that the rule must not match.
type Example struct {
	Exchange Exchange          // as the dialogue would have recorded it
	Fields   map[string]string // stand in for a certificate, or for a hash
	// Want holds the fields that the example names: product, version, cpe,
	// hostname, service. A field that is not named is not compared.
	Want map[string]string
}

// ruleFile is the YAML form of Rule.
type ruleFile struct {
	ID       string          `yaml:"id"`
	Service  string          `yaml:"service"`
	Product  string          `yaml:"product"`
	Version  string          `yaml:"version"`
	CPE      string          `yaml:"cpe"`
	Verdict  string          `yaml:"verdict"`
	Reason   string          `yaml:"reason"`
	Family   string          `yaml:"family"`
	Evidence evidenceFile    `yaml:"evidence"`
	Ports    []string        `yaml:"ports"`
	On       []string        `yaml:"on"`
	Inside   string          `yaml:"inside"`
	Match    []conditionFile `yaml:"match"`
	Tell     string          `yaml:"tell"`
	Flags    []string        `yaml:"flags"`
	Confirm  string          `yaml:"confirm"`
	Severity string          `yaml:"severity"`
	Hint     string          `yaml:"hint"`
	Settle   string          `yaml:"settle"`
	Note     string          `yaml:"note"`
	Sources  []string        `yaml:"sources"`
	Examples []exampleFile   `yaml:"examples"`
	Not      []exampleFile   `yaml:"not"`

	brief bool // read without its examples
}

type evidenceFile struct {
	Kind   string `yaml:"kind"`
	Points int    `yaml:"points"`
}

// conditionFile is one condition: a field (or a computed rule of handshakes.go)
// and one test of it.
type conditionFile struct {
	Field    string  `yaml:"field"`
	Computed string  `yaml:"computed"`
	Pattern  *string `yaml:"pattern"`
	Equals   *string `yaml:"equals"`
	Contains *string `yaml:"contains"`
	Hex      *string `yaml:"hex"`
	Absent   bool    `yaml:"absent"`
	Min      *int    `yaml:"min"`
	Max      *int    `yaml:"max"`
}

// exampleFile is one example: the bytes in one of three forms, how they came,
// and the fields that they must give.
type exampleFile struct {
	Text   *string           `yaml:"text"`
	Hex    *string           `yaml:"hex"`
	Base64 *string           `yaml:"base64"`
	Probe  string            `yaml:"probe"`
	Sent   string            `yaml:"sent"` // hex; for rules that look at the request
	Inside bool              `yaml:"inside"`
	End    string            `yaml:"end"`
	Fields map[string]string `yaml:"fields"`

	Product  *string `yaml:"product"`
	Version  *string `yaml:"version"`
	CPE      *string `yaml:"cpe"`
	Hostname *string `yaml:"hostname"`
	Service  *string `yaml:"service"`
}

// fault is one mistake in a data file; where names the key, "match[0].pattern".
type fault struct {
	where string
	err   error
}

// rule checks f and compiles it. All faults are returned together. openers
// holds the known opener ids, which "on" may name.
func (f ruleFile) rule(openers map[string]bool) (*Rule, []fault) {
	var faults []fault
	bad := func(where, format string, args ...any) {
		faults = append(faults, fault{where, fmt.Errorf(format, args...)})
	}
	r := &Rule{
		ID: f.ID, Service: f.Service, Product: f.Product, Version: f.Version, CPE: f.CPE,
		Reason: f.Reason, Family: f.Family, Kind: Kind(f.Evidence.Kind), Points: f.Evidence.Points,
		On: f.On, Inside: f.Inside, Tell: f.Tell, Flags: f.Flags, Confirm: f.Confirm, Severity: f.Severity,
		Hint: f.Hint, Settle: f.Settle, Note: f.Note, Sources: f.Sources,
	}
	if !isID(f.ID) {
		bad("id", "id %q: want lower-case letters, digits and dashes", f.ID)
	}
	if !isWord(f.Service) {
		bad("service", "service %q: want the protocol's name in lower case, like http or hasp-acc", f.Service)
	}
	var err error
	if r.Class, err = ParseClass(f.Verdict); err != nil {
		bad("verdict", "%s", strings.TrimPrefix(err.Error(), "fingerprint: "))
	}
	if f.Reason != "" && !isWord(f.Reason) {
		bad("reason", "reason %q: want one word in lower case, words joined by _", f.Reason)
	}
	if (f.Family != "") != (r.Class == PossibleC2) {
		bad("family", "family %q with verdict %s: every possible_c2 rule names its family and no other rule does", f.Family, f.Verdict)
	}
	if !knownKind(r.Kind) {
		bad("evidence", "evidence kind %q: want cert, http_header, http_body, banner, shell, exec, tls_stack, behaviour or protocol", f.Evidence.Kind)
	}
	if r.Points < 1 || r.Points > 95 {
		bad("evidence", "evidence points %d: want 1 to 95 (weak 5-15, medium 25-40, specific 60-95)", r.Points)
	}
	for i, text := range f.Ports {
		p, err := registry.ParsePort(text)
		if err != nil {
			bad(fmt.Sprintf("ports[%d]", i), "%s", strings.TrimPrefix(err.Error(), "registry: "))
			continue
		}
		r.Ports = append(r.Ports, p)
	}
	for i, id := range f.On {
		if !genericProbe(id) && !openers[id] {
			bad(fmt.Sprintf("on[%d]", i), "probe %q: want silence, get10, get11, get404, tls, udp or the id of an opener", id)
		}
	}
	if f.Confirm != "" && !openers[f.Confirm] {
		bad("confirm", "confirm %q: want the id of an opener", f.Confirm)
	}
	switch f.Inside {
	case "", "any":
		r.Inside = ""
	case "tls", "plain":
	default:
		bad("inside", "inside %q: want any, tls or plain", f.Inside)
	}
	switch f.Severity {
	case "", "info", "low", "medium", "high":
	default:
		bad("severity", "severity %q: want info, low, medium or high", f.Severity)
	}
	groups := map[string]bool{}
	if len(f.Match) == 0 {
		bad("match", "no condition: want at least one")
	}
	for i, cf := range f.Match {
		c, err := cf.condition()
		if err != nil {
			bad(fmt.Sprintf("match[%d]", i), "%w", err)
			continue
		}
		for _, g := range c.groups() {
			groups[g] = true
		}
		r.conditions = append(r.conditions, c)
	}
	for _, t := range [...]struct{ key, text string }{{"product", f.Product}, {"version", f.Version}, {"cpe", f.CPE}} {
		if err := checkTemplate(t.text, groups); err != nil {
			bad(t.key, "%s %q: %w", t.key, t.text, err)
		}
	}
	if err := checkTell(f.Tell, groups); err != nil {
		bad("tell", "tell %q: %w", f.Tell, err)
	}
	if f.CPE != "" && len(strings.Split(f.CPE, ":")) != 13 {
		bad("cpe", "cpe %q: want the form cpe:2.3:a:vendor:product:{version}:*:*:*:*:*:*:*", f.CPE)
	}
	if len(f.Sources) == 0 {
		bad("sources", "no source: every rule says where its fact is from")
	}
	if len(f.Examples) == 0 && !f.brief {
		bad("examples", "no example: every rule proves itself")
	}
	r.Examples = examples("examples", f.Examples, r, bad)
	r.Not = examples("not", f.Not, r, bad)
	return r, faults
}

// examples reads a list of examples. The probe of an example without one is
// the first that the rule is on, else get10.
func examples(key string, list []exampleFile, r *Rule, bad func(where, format string, args ...any)) []Example {
	var out []Example
	for i, f := range list {
		where := fmt.Sprintf("%s[%d]", key, i)
		e := Example{Fields: f.Fields, Want: map[string]string{}}
		data, err := f.bytes()
		if err != nil {
			bad(where, "%w", err)
			continue
		}
		sent, err := parseHex(f.Sent)
		if err != nil {
			bad(where, "sent: %w", err)
			continue
		}
		e.Exchange = Exchange{Conn: 1, Probe: f.Probe, Inside: f.Inside || r.Inside == "tls", Sent: sent, Received: data, End: EndFin}
		if f.Probe == "" {
			e.Exchange.Probe = ProbeGet10
			if len(r.On) > 0 {
				e.Exchange.Probe = r.On[0]
			}
		}
		if f.End != "" {
			e.Exchange.End = End(f.End)
		}
		if len(data) > 0 {
			e.Exchange.FirstByte = 1e6 // a millisecond: an answer took some time
		}
		for name, want := range map[string]*string{
			"product": f.Product, "version": f.Version, "cpe": f.CPE, "hostname": f.Hostname, "service": f.Service,
		} {
			if want != nil {
				e.Want[name] = *want
			}
		}
		for name := range f.Fields {
			if !standsIn(name) {
				bad(where, "field %q: an example can only set cert:…, tls:…, alpn and body:sha1, body:sha256 or body:mmh3", name)
			}
		}
		out = append(out, e)
	}
	return out
}

// standsIn reports whether an example may say what a field is: what a
// certificate or a hash would give, whose preimage nobody has published.
func standsIn(field string) bool { return tlsField(field) || strings.HasPrefix(field, "body:") }

// bytes returns the example's answer, from exactly one of its three forms, or
// nothing where only fields are given.
func (f exampleFile) bytes() ([]byte, error) {
	forms := 0
	for _, p := range []*string{f.Text, f.Hex, f.Base64} {
		if p != nil {
			forms++
		}
	}
	switch {
	case forms == 0 && (len(f.Fields) > 0 || f.End != ""):
		return nil, nil
	case forms != 1:
		return nil, fmt.Errorf("%d of text, hex and base64 given: want exactly one", forms)
	case f.Text != nil:
		return []byte(*f.Text), nil
	case f.Hex != nil:
		return parseHex(*f.Hex)
	default:
		b, err := base64.StdEncoding.DecodeString(*f.Base64)
		if err != nil {
			return nil, fmt.Errorf("base64 %q: %w", *f.Base64, err)
		}
		return b, nil
	}
}

// parseHex reads hex digits; spaces between bytes are allowed.
func parseHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("hex %q: want pairs of hex digits: %w", s, err)
	}
	return b, nil
}

// isID reports whether s can be the id of a rule or an opener.
func isID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && s[0] != '-'
}

// isWord reports whether s can be a service name or a reason.
func isWord(s string) bool { return isID(strings.ReplaceAll(strings.ReplaceAll(s, ".", ""), "+", "")) }

func knownKind(k Kind) bool {
	switch k {
	case KindCert, KindHTTPHeader, KindHTTPBody, KindBanner, KindShell, KindExec, KindTLSStack, KindBehaviour, KindProtocol:
		return true
	case KindContext: // what is known beside the answer decides nothing
		return false
	default:
		return false
	}
}

// genericProbe reports whether id names one of the probes that every dialogue
// has.
func genericProbe(id string) bool {
	switch id {
	case ProbeSilence, ProbeGet10, ProbeGet11, ProbeGet404, ProbeTLS, ProbeOldTLS, ProbeJARM, ProbeUDP:
		return true
	default:
		return false
	}
}

// placeholders lists the {name}s of a template, in order.
func placeholders(template string) []string {
	var names []string
	for {
		_, rest, ok := strings.Cut(template, "{")
		if !ok {
			return names
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return names
		}
		names, template = append(names, name), after
	}
}

// checkTemplate reports a {name} that no pattern of the rule extracts.
func checkTemplate(template string, groups map[string]bool) error {
	for _, name := range placeholders(template) {
		if !groups[name] && name != "version" {
			return fmt.Errorf("{%s} is not a named group of any pattern", name)
		}
	}
	return nil
}
