package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The parts of CycloneDX 1.6 that are used: https://cyclonedx.org/docs/1.6/json/
type (
	bom struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Ref        string     `json:"bom-ref"`
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licenses   []license  `json:"licenses,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	// license is an SPDX id, or an expression of several.
	license struct {
		License    *licenseID `json:"license,omitempty"`
		Expression string     `json:"expression,omitempty"`
	}
	licenseID struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// SBOM says in CycloneDX 1.6 what a binary is made of. Its serial number is
// taken from the digest of the binary, so that the same binary has the same.
func SBOM(p *Program, version string, modules []Module, at time.Time) ([]byte, error) {
	sum := sha256.Sum256(p.Data)
	root := component{
		Ref: "dormant", Type: "application", Name: "dormant", Version: version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licenses: spdx([]string{"Apache-2.0"}),
		Properties: []property{{"dormant:platform", p.words()}, {"dormant:go", p.Info.GoVersion}},
	}
	for _, s := range p.Info.Settings {
		if s.Key == "vcs.revision" {
			root.Properties = append(root.Properties, property{"dormant:commit", s.Value})
		}
	}
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1,
		Serial:     serial(sum),
		Metadata:   metadata{Timestamp: at.UTC().Format(time.RFC3339), Component: root},
		Components: []component{},
	}
	depends := dependency{Ref: root.Ref}
	for i := range modules {
		c := moduleComponent(&modules[i])
		b.Components = append(b.Components, c)
		depends.DependsOn = append(depends.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{depends}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("dist: SBOM: %w", err)
	}
	return append(text, '\n'), nil
}

func moduleComponent(m *Module) component {
	c := component{Type: "library", Name: m.Path, Version: m.Version, Licenses: spdx(m.IDs())}
	c.PURL = "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	if m.SHA256 != "" {
		c.Hashes = []hash{{"SHA-256", m.SHA256}}
		c.Properties = []property{{"dormant:hash", "h1 of go.sum: over the list of the digests of all files of the module"}}
	}
	c.Ref = c.PURL
	return c
}

// spdx is one id, or all of them joined.
func spdx(ids []string) []license {
	if len(ids) == 1 {
		return []license{{License: &licenseID{ids[0]}}}
	}
	return []license{{Expression: strings.Join(ids, " AND ")}}
}

// serial makes a UUID of version 8, the kind of RFC 9562 that may be made in any
// way, from a digest.
func serial(sum [32]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
