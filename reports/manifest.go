package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Manifest says what a run was and which files it left, with their digests, so
// that somebody else can check both.
type Manifest struct {
	Schema   int            `json:"schema"`
	Complete bool           `json:"complete"`
	Why      []string       `json:"why,omitempty"` // when not complete
	Coverage string         `json:"coverage"`
	Run      Run            `json:"run"`
	By       Origin         `json:"by,omitzero"`
	Settings Settings       `json:"settings,omitzero"`
	Files    []ManifestFile `json:"files"`
}

// Origin says who scanned, and from where. The zero value is that it is not known.
type Origin struct {
	User string `json:"user,omitempty"`
	Host string `json:"host,omitempty"`
	// Sources are the addresses that the kernel selects towards the targets, or the
	// one that was asked for. They are not known where only an interface was.
	Sources []netip.Addr `json:"sources,omitempty"`
}

// Settings are the bounds within which a run was made. The zero value is that
// they are not known.
type Settings struct {
	Rate        string        `json:"rate"`      // probes per second, or "max"
	HostRate    float64       `json:"host_rate"` // probes per second to one address
	Retries     int           `json:"retries"`
	States      string        `json:"states"`
	StateBudget uint64        `json:"state_budget,omitempty"` // half-open connections
	Window      string        `json:"window,omitempty"`       // "22:00-05:00", local time
	MaxRuntime  time.Duration `json:"max_runtime_ns,omitempty"`
	Canaries    []string      `json:"canaries,omitempty"` // known-open targets; those not found are in Why
	// ConnectionsPerHost is the most connections to one host at a time in the
	// dialogues.
	ConnectionsPerHost int    `json:"dialogue_connections_per_host"`
	Budget             Budget `json:"dialogue_budget,omitzero"`
	// PlanTargets counts the targets of the whole plan, of which Run.Shard is a part.
	PlanTargets uint64 `json:"plan_targets"`
}

// Budget bounds what a dialogue may cost the network; what it did cost is in
// Run.Identify. The zero value is that no dialogue was held.
type Budget struct {
	// ConnectionsPerPort does not count a license manager's own opener, the one
	// more to a port that has said nothing, the repetition of a sign of command and
	// control, and those of a JARM.
	ConnectionsPerPort int           `json:"connections_per_port"`
	JARM               bool          `json:"jarm"`
	HostTime           time.Duration `json:"host_time_ns"` // of waiting for answers
	HostBytes          int           `json:"host_bytes"`   // received
	Fragile            []string      `json:"fragile,omitempty"`
}

// ManifestFile is one output of a run.
type ManifestFile struct {
	Name   string `json:"name"` // without the folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // "sha256:…"
}

// NewManifest reads the files and returns their manifest.
func NewManifest(run Run, files ...string) (Manifest, error) {
	m := Manifest{Schema: SchemaVersion, Complete: run.Complete(), Why: run.Reasons(), Coverage: run.Coverage(), Run: run, Files: []ManifestFile{}}
	for _, path := range files {
		f, err := digest(path)
		if err != nil {
			return Manifest{}, fmt.Errorf("reports: manifest: %w", err)
		}
		m.Files = append(m.Files, f)
	}
	return m, nil
}

func digest(path string) (ManifestFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return ManifestFile{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return ManifestFile{}, err
	}
	return ManifestFile{Name: filepath.Base(path), Bytes: n, SHA256: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, nil
}

// WriteFile writes the manifest as indented JSON, complete or not at all.
func (m Manifest) WriteFile(path string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("reports: manifest: %w", err)
	}
	return WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}
