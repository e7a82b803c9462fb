package enroll

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

// Agent is one that was enrolled.
type Agent struct {
	ID       string    `json:"id"`
	Site     string    `json:"site"`
	Vantages []string  `json:"vantages"`
	Enrolled time.Time `json:"enrolled"`
	// Renewed is when its certificate was signed, Ends when that runs out.
	Renewed time.Time `json:"renewed"`
	Ends    time.Time `json:"ends"`
	Revoked time.Time `json:"revoked,omitzero"` // zero: it is not
}

// Places are those that the agent works for.
func (a *Agent) Places() []fleet.Place {
	all := make([]fleet.Place, len(a.Vantages))
	for i, v := range a.Vantages {
		all[i] = fleet.Place{Site: a.Site, Vantage: v}
	}
	return all
}

// Status is what is known of the agent without having heard from it.
func (a *Agent) Status() fleet.AgentStatus {
	return fleet.AgentStatus{ID: a.ID, Site: a.Site, Vantages: a.Vantages, Enrolled: a.Enrolled, Ends: a.Ends, Revoked: !a.Revoked.IsZero()}
}

// record is an agent as its file has it.
type record struct {
	Agent
	Serial string `json:"serial"` // of its newest certificate
	// Previous are those of the ones before, until the newest was used.
	Previous []string `json:"previous,omitempty"`
}

// ErrNoAgent is returned for a name that no agent has.
var ErrNoAgent = errors.New("no such agent")

func (a *Authority) agentFile(id string) string {
	return filepath.Join(a.dir, agentsDir, id+".json")
}

// readAgent reads a record; id is a checked name.
func (a *Authority) readAgent(id string) (*record, error) {
	text, err := os.ReadFile(a.agentFile(id))
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", a.agentFile(id), err)
	}
	if r.ID != id || r.Serial == "" {
		return nil, fmt.Errorf("enroll: %s: want the record of %s", a.agentFile(id), id)
	}
	return &r, nil
}

func (a *Authority) writeAgent(r *record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return disk.Replace(a.agentFile(r.ID), append(text, '\n'))
}

// changeAgent changes a record while nobody else can.
func (a *Authority) changeAgent(id string, change func(*record) error) error {
	return a.locked(func() error {
		r, err := a.readAgent(id)
		if err == nil {
			err = change(r)
		}
		if err == nil {
			err = a.writeAgent(r)
		}
		return err
	})
}

// Agents returns all that were ever enrolled, sorted by name. A record that
// cannot be read is an error beside those that can.
func (a *Authority) Agents() ([]Agent, error) {
	entries, err := os.ReadDir(filepath.Join(a.dir, agentsDir))
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	var all []Agent
	var errs []error
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || fleet.CheckName("agent", id) != nil {
			continue
		}
		r, err := a.readAgent(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, r.Agent)
	}
	return all, errors.Join(errs...)
}

// Revoke ends the credential of an agent, and the tokens for it that were not
// used. A running server notices within a second or two, and cuts its
// connection. To revoke it again changes nothing.
func (a *Authority) Revoke(id string) error {
	if err := fleet.CheckName("agent", id); err != nil {
		return fmt.Errorf("enroll: %w", err)
	}
	return a.locked(func() error {
		r, err := a.readAgent(id)
		if err == nil && r.Revoked.IsZero() {
			r.Revoked = time.Now().UTC().Truncate(time.Second)
			err = a.writeAgent(r)
		}
		withdrawn, werr := a.withdraw(id)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
			if withdrawn == 0 {
				err = fmt.Errorf("enroll: agent %s: %w", id, ErrNoAgent)
			}
		}
		return errors.Join(err, werr)
	})
}

func fingerprint(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.Raw)
	return sum[:]
}
