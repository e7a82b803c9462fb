package fingerprint

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Example is an answer with the fields that it must give, or, under "not", one
// that the rule must not match.
type Example struct {
	Exchange Exchange          // as the dialogue would have recorded it
	Fields   map[string]string // stand in for a certificate, or for a hash
	// Want holds the fields that the example names: product, version, cpe,
	// hostname, service. A field that is not named is not compared.
	Want map[string]string
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

// examples reads the list of examples under key.
func examples(key string, list []exampleFile, r *Rule, bad *faults) []Example {
	var out []Example
	for i, f := range list {
		where := fmt.Sprintf("%s[%d]", key, i)
		e, err := f.example(r)
		if err != nil {
			bad.add(where, "%w", err)
			continue
		}
		for name := range f.Fields {
			if !standsIn(name) {
				bad.add(where, "field %q: an example can only set cert:…, tls:…, alpn and body:sha1, body:sha256 or body:mmh3", name)
			}
		}
		out = append(out, e)
	}
	return out
}

// example reads one example. The probe of one that names none is the first that
// the rule is on, else get10.
func (f exampleFile) example(r *Rule) (Example, error) {
	data, err := f.bytes()
	if err != nil {
		return Example{}, err
	}
	sent, err := parseHex(f.Sent)
	if err != nil {
		return Example{}, fmt.Errorf("sent: %w", err)
	}
	probe := ProbeGet10
	if len(r.On) > 0 {
		probe = r.On[0]
	}
	e := Example{Fields: f.Fields, Want: map[string]string{}, Exchange: Exchange{
		Conn: 1, Probe: cmp.Or(f.Probe, probe), Inside: f.Inside || r.Inside == "tls", Sent: sent, Received: data,
		End: cmp.Or(End(f.End), EndFin),
	}}
	if len(data) > 0 {
		e.Exchange.FirstByte = time.Millisecond // an answer took some time
	}
	for name, want := range map[string]*string{
		"product": f.Product, "version": f.Version, "cpe": f.CPE, "hostname": f.Hostname, "service": f.Service,
	} {
		if want != nil {
			e.Want[name] = *want
		}
	}
	return e, nil
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
