package firewall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// ReadImpact reads what WriteJSON wrote of an impact.
func ReadImpact(name string, text []byte) (*Impact, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var m Impact
	if err := d.Decode(&m); err != nil {
		line := 1 + bytes.Count(text[:min(int(d.InputOffset()), len(text))], []byte("\n"))
		return nil, fmt.Errorf("firewall: %s:%d: want what firewall impact -o FILE.json wrote: %w", name, line, err)
	}
	if m.Schema != 1 {
		return nil, fmt.Errorf("firewall: %s: schema %d: want 1, what firewall impact -o FILE.json wrote", name, m.Schema)
	}
	for i := range m.Services {
		s := &m.Services[i]
		var err error
		if s.target, err = parseTarget(s.Target); err != nil {
			return nil, fmt.Errorf("firewall: %s: %w", name, err)
		}
		for _, list := range [][]string{s.After.Allow, s.After.Deny, s.After.Unknown} {
			if _, ok := addrsOf(list); !ok {
				return nil, fmt.Errorf("firewall: %s: service %s: %q: want addresses and networks", name, s.Target, shown(strings.Join(list, ",")))
			}
		}
	}
	return &m, nil
}

// parseTarget reads what scanner.Target writes.
func parseTarget(s string) (t scanner.Target, err error) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return t, fmt.Errorf("service %q: want ADDRESS:PORT/tcp or /udp", shown(s))
	}
	where, err1 := netip.ParseAddrPort(s[:i])
	proto, err2 := registry.ParseProto(s[i+1:])
	if err1 != nil || err2 != nil || where.Port() == 0 {
		return t, fmt.Errorf("service %q: want ADDRESS:PORT/tcp or /udp", shown(s))
	}
	return scanner.Target{Addr: where.Addr().Unmap(), Port: registry.Port{Number: where.Port(), Proto: proto}}, nil
}

func addrsOf(list []string) (Addrs, bool) {
	if len(list) == 0 {
		return Addrs{}, true
	}
	return ParseAddrs(strings.Join(list, ","))
}

// Targets returns the services of the impact: what verify asks, and nothing
// else.
func (m *Impact) Targets() []scanner.Target {
	out := make([]scanner.Target, len(m.Services))
	for i := range m.Services {
		out[i] = m.Services[i].target
	}
	return out
}

// predicts says what should become of a source that asks a service.
func (s *Service) predicts(source netip.Addr) Effect {
	for _, p := range []struct {
		list []string
		e    Effect
	}{{s.After.Allow, Allow}, {s.After.Deny, Deny}} {
		if set, ok := addrsOf(p.list); ok && set.Contains(source) {
			return p.e
		}
	}
	return Unknown
}

// The results of a check, in the words of every output.
const (
	AsPredicted = "as_predicted"
	Deviation   = "deviation"
	NotMeasured = "not_measured"
)

// Check is one service asked again, against what the impact said.
type Check struct {
	Target    string     `json:"target"`
	Product   string     `json:"product"`
	Verdict   string     `json:"verdict"`
	Source    netip.Addr `json:"source"`    // from where it was asked
	Predicted string     `json:"predicted"` // allow, deny, unknown
	State     string     `json:"state"`     // of the probe
	Reason    string     `json:"reason"`
	Result    string     `json:"result"`
	Why       string     `json:"why"`
	Rule      string     `json:"rule,omitempty"` // of the impact
	// RollBack is true where something that was to stay is gone.
	RollBack bool `json:"roll_back,omitempty"`
}

// Verification is the services of an impact asked again after the change.
type Verification struct {
	Schema   int       `json:"schema"` // 1
	Headline string    `json:"headline"`
	Made     time.Time `json:"made"`
	Impact   string    `json:"impact"`  // its headline
	Vantage  string    `json:"vantage"` // from where it was asked
	Proposed Source    `json:"proposed"`
	Checks   []Check   `json:"checks"`
}

// Verify holds observations against the impact. source is the address from
// which a service was asked; a service without an observation was not measured.
func Verify(m *Impact, vantage string, now time.Time, source func(scanner.Target) netip.Addr, seen map[scanner.Target]scanner.Observation) *Verification {
	v := &Verification{Schema: 1, Made: now.UTC(), Impact: m.Headline, Vantage: vantage, Proposed: m.Proposed, Checks: []Check{}}
	for i := range m.Services {
		s := &m.Services[i]
		c := Check{Target: s.Target, Product: s.Product, Verdict: s.Verdict, Rule: s.Rule, Source: source(s.target)}
		predicted := s.predicts(c.Source)
		c.Predicted = predicted.String()
		o, asked := seen[s.target]
		if asked {
			c.State, c.Reason = o.State.String(), o.Reason.String()
		}
		switch {
		case !asked:
			c.Result, c.Why = NotMeasured, "it was not asked: it is excluded, or the run was cut short"
		case o.State == scanner.Unknown:
			c.Result, c.Why = NotMeasured, "the fault was on this side"
		case predicted == Unknown:
			c.Result, c.Why = NotMeasured, "the impact makes no prediction for this source"
		default:
			c.judge(predicted == Allow, o.State)
		}
		v.Checks = append(v.Checks, c)
	}
	v.Headline = v.headline()
	return v
}

// judge holds an answer against what was predicted: that the service can be
// reached, or not.
func (c *Check) judge(reachable bool, state scanner.State) {
	c.Result = Deviation
	c.RollBack = reachable && state != scanner.Open
	switch {
	case reachable && state == scanner.Open:
		c.Result, c.Why = AsPredicted, "reachable, as it was to be"
	case reachable && state == scanner.Closed:
		c.Why = "refused: a rule rejects with a reset, or the service has ended"
	case reachable:
		c.Why = "it was to stay reachable, and is gone"
	case state == scanner.Open:
		c.Why = "it was to be cut off, and still answers"
	case state == scanner.Closed:
		c.Result, c.Why = AsPredicted, "refused: a rule that rejects does that, and so does a service that has ended"
	default:
		c.Result, c.Why = AsPredicted, "cut off, as it was to be"
	}
}

// Count returns how many checks have a result.
func (v *Verification) Count(result string) int {
	n := 0
	for _, c := range v.Checks {
		if c.Result == result {
			n++
		}
	}
	return n
}

func (v *Verification) headline() string {
	parts := []string{count(v.Count(AsPredicted), "service", "services") + " as predicted"}
	if n := v.Count(Deviation); n > 0 {
		parts = append(parts, count(n, "deviates", "deviate"))
	}
	if n := v.Count(NotMeasured); n > 0 {
		parts = append(parts, strconv.Itoa(n)+" could not be measured")
	}
	text := strings.Join(parts, ", ")
	if slices.ContainsFunc(v.Checks, func(c Check) bool { return c.RollBack }) {
		text += "; ROLL BACK: something that was to stay is gone"
	}
	return text + "."
}

// document is the report of a verification.
func (v *Verification) document() (title, headline string, sections []section) {
	rollBack := section{Title: "Roll back"}
	for _, c := range v.Checks {
		if c.RollBack {
			rollBack.Text = append(rollBack.Text, c.Target+" ("+what(c.Product, c.Verdict)+"): "+c.Why+". Take "+v.Proposed.File+" back"+lookAt(c.Rule)+".")
		}
	}
	if len(rollBack.Text) > 0 {
		sections = append(sections, rollBack)
	}
	matrix := section{Title: "Prediction and measurement", Head: []string{"service", "what it is", "asked from", "predicted", "measured", "result", "why"},
		Text: []string{"Asked from " + v.Vantage + ". A license manager's clients lose it late: verify again after 24 hours."}}
	for _, c := range v.Checks {
		source := ""
		if c.Source.IsValid() {
			source = c.Source.String()
		}
		matrix.Rows = append(matrix.Rows, []string{c.Target, what(c.Product, c.Verdict), source, c.Predicted, strings.TrimSuffix(c.State+", "+c.Reason, ", "),
			strings.ReplaceAll(c.Result, "_", " "), c.Why})
	}
	return "Verification of " + reports.Line(v.Proposed.File), v.Headline, append(sections, matrix)
}

func lookAt(rule string) string {
	if rule == "" {
		return ""
	}
	return " or look at " + ruleTitle(rule, 0)
}

// Before returns what the impact knew of the services, as JSON: the state
// before the change.
func (m *Impact) Before() ([]byte, error) {
	type service struct {
		Target  string    `json:"target"`
		Product string    `json:"product"`
		Verdict string    `json:"verdict"`
		Seen    time.Time `json:"seen,omitzero"`
		Vantage string    `json:"vantage,omitempty"`
		Reach   *Reach    `json:"reach,omitempty"` // under the rules before the change
		Clients []Client  `json:"clients"`
	}
	list := make([]service, len(m.Services))
	for i, s := range m.Services {
		list[i] = service{s.Target, s.Product, s.Verdict, s.Seen, s.Vantage, s.Before, s.Clients}
	}
	text, err := json.MarshalIndent(map[string]any{"current_rules": m.Current, "services": list}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("firewall: write the state before: %w", err)
	}
	return append(text, '\n'), nil
}
