package fingerprint

import (
	"fmt"
	"slices"
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

// fault is one mistake in a data file; where names the key, "match[0].pattern".
type fault struct {
	where string
	err   error
}

// faults are the mistakes of one file.
type faults []fault

func (f *faults) add(where, format string, args ...any) {
	*f = append(*f, fault{where, fmt.Errorf(format, args...)})
}

// rule checks f and compiles it. All faults are returned together. openers
// holds the known opener ids, which "on" may name.
func (f ruleFile) rule(openers map[string]bool) (*Rule, faults) {
	r := &Rule{
		ID: f.ID, Service: f.Service, Product: f.Product, Version: f.Version, CPE: f.CPE,
		Reason: f.Reason, Family: f.Family, Kind: Kind(f.Evidence.Kind), Points: f.Evidence.Points,
		On: f.On, Inside: f.Inside, Tell: f.Tell, Flags: f.Flags, Confirm: f.Confirm, Severity: f.Severity,
		Hint: f.Hint, Settle: f.Settle, Note: f.Note, Sources: f.Sources,
	}
	if r.Inside == "any" {
		r.Inside = ""
	}
	var bad faults
	f.meaning(r, &bad)
	f.place(r, openers, &bad)
	f.match(r, &bad)
	if len(f.Sources) == 0 {
		bad.add("sources", "no source: every rule says where its fact is from")
	}
	if len(f.Examples) == 0 && !f.brief {
		bad.add("examples", "no example: every rule proves itself")
	}
	r.Examples = examples("examples", f.Examples, r, &bad)
	r.Not = examples("not", f.Not, r, &bad)
	return r, bad
}

// meaning checks what an answer is called and what it is worth.
func (f ruleFile) meaning(r *Rule, bad *faults) {
	if !isID(f.ID) {
		bad.add("id", "id %q: want lower-case letters, digits and dashes", f.ID)
	}
	if !isWord(f.Service) {
		bad.add("service", "service %q: want the protocol's name in lower case, like http or hasp-acc", f.Service)
	}
	var err error
	if r.Class, err = ParseClass(f.Verdict); err != nil {
		bad.add("verdict", "%s", strings.TrimPrefix(err.Error(), "fingerprint: "))
	}
	if f.Reason != "" && !isWord(f.Reason) {
		bad.add("reason", "reason %q: want one word in lower case, words joined by _", f.Reason)
	}
	if (f.Family != "") != (r.Class == PossibleC2) {
		bad.add("family", "family %q with verdict %s: every possible_c2 rule names its family and no other rule does", f.Family, f.Verdict)
	}
	if !knownKind(r.Kind) {
		bad.add("evidence", "evidence kind %q: want cert, http_header, http_body, banner, shell, exec, tls_stack, behaviour or protocol", f.Evidence.Kind)
	}
	if r.Points < 1 || r.Points > 95 {
		bad.add("evidence", "evidence points %d: want 1 to 95 (weak 5-15, medium 25-40, specific 60-95)", r.Points)
	}
	switch f.Severity {
	case "", "info", "low", "medium", "high":
	default:
		bad.add("severity", "severity %q: want info, low, medium or high", f.Severity)
	}
}

// place checks where the rule looks, and what it has asked.
func (f ruleFile) place(r *Rule, openers map[string]bool, bad *faults) {
	for i, text := range f.Ports {
		p, err := registry.ParsePort(text)
		if err != nil {
			bad.add(fmt.Sprintf("ports[%d]", i), "%s", strings.TrimPrefix(err.Error(), "registry: "))
			continue
		}
		r.Ports = append(r.Ports, p)
	}
	for i, id := range f.On {
		if !genericProbe(id) && !openers[id] {
			bad.add(fmt.Sprintf("on[%d]", i), "probe %q: want silence, get10, get11, get404, tls, udp or the id of an opener", id)
		}
	}
	if f.Confirm != "" && !openers[f.Confirm] {
		bad.add("confirm", "confirm %q: want the id of an opener", f.Confirm)
	}
	switch f.Inside {
	case "", "any", "tls", "plain":
	default:
		bad.add("inside", "inside %q: want any, tls or plain", f.Inside)
	}
}

// match compiles the conditions, and checks that the templates name nothing
// that no condition extracts.
func (f ruleFile) match(r *Rule, bad *faults) {
	groups := map[string]bool{}
	if len(f.Match) == 0 {
		bad.add("match", "no condition: want at least one")
	}
	for i, cf := range f.Match {
		c, err := cf.condition()
		if err != nil {
			bad.add(fmt.Sprintf("match[%d]", i), "%w", err)
			continue
		}
		for _, g := range c.groups() {
			groups[g] = true
		}
		r.conditions = append(r.conditions, c)
	}
	for _, t := range [...]struct{ key, text string }{{"product", f.Product}, {"version", f.Version}, {"cpe", f.CPE}} {
		if err := checkTemplate(t.text, groups); err != nil {
			bad.add(t.key, "%s %q: %w", t.key, t.text, err)
		}
	}
	if err := checkTell(f.Tell, groups); err != nil {
		bad.add("tell", "tell %q: %w", f.Tell, err)
	}
	if f.CPE != "" && len(strings.Split(f.CPE, ":")) != 13 {
		bad.add("cpe", "cpe %q: want the form cpe:2.3:a:vendor:product:{version}:*:*:*:*:*:*:*", f.CPE)
	}
}

// isID reports whether s can be the id of a rule or an opener.
func isID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && s[0] != '-'
}

// isWord reports whether s can be a service name or a reason.
func isWord(s string) bool { return isID(strings.ReplaceAll(strings.ReplaceAll(s, ".", ""), "+", "")) }

// knownKind leaves out the context: what is known beside the answer decides
// nothing.
func knownKind(k Kind) bool {
	return slices.Contains([]Kind{
		KindCert, KindHTTPHeader, KindHTTPBody, KindBanner, KindShell, KindExec, KindTLSStack, KindBehaviour, KindProtocol,
	}, k)
}

// genericProbe reports whether id names one of the probes that every dialogue
// has.
func genericProbe(id string) bool {
	return slices.Contains([]string{
		ProbeSilence, ProbeGet10, ProbeGet11, ProbeGet404, ProbeTLS, ProbeOldTLS, ProbeJARM, ProbeUDP,
	}, id)
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
