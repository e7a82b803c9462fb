package fleet

import (
	"net/netip"
	"time"
)

// Status is what a server knows of its fleet at one moment, for people and for
// metrics. Slices are sorted by name or, runs, the newest first; the receiver
// owns them.
type Status struct {
	Now    time.Time     `json:"now"`
	Agents []AgentStatus `json:"agents"`
	Jobs   []JobStatus   `json:"jobs"`
	Runs   []RunStatus   `json:"runs"` // those that are not over, and the last few that are
	Dead   []DeadShard   `json:"dead"`
	// Faults are what the server itself cannot do at the moment: a full disk, a
	// database that is away. Empty when it is well.
	Faults []string `json:"faults,omitempty"`
}

// AgentStatus is one enrolled agent.
type AgentStatus struct {
	ID       string    `json:"id"`
	Site     string    `json:"site"`
	Vantages []string  `json:"vantages"`
	Enrolled time.Time `json:"enrolled"`
	// Ends is when its certificate runs out, zero where the server has no part in it.
	Ends     time.Time `json:"certificate_ends,omitzero"`
	Revoked  bool      `json:"revoked"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Online   bool      `json:"online"`
	// Last is what it said last, for all of its vantages that are there; the run is
	// empty when that run is over.
	Last Beat `json:"last"`
}

// endsSoon is half of the time in which an agent that is there renews its
// certificate by itself: one that has less left does not succeed.
const endsSoon = 15 * 24 * time.Hour

// EndsSoon reports whether the agent will be locked out within days, or is, if
// nobody looks after it.
func (a *AgentStatus) EndsSoon(now time.Time) bool {
	return !a.Revoked && !a.Ends.IsZero() && a.Ends.Sub(now) < endsSoon
}

// JobStatus is one job of the configuration.
type JobStatus struct {
	Name    string    `json:"name"`
	Cron    string    `json:"cron"`
	Places  []Place   `json:"places"`
	Next    time.Time `json:"next,omitzero"` // zero: only by hand
	LastRun time.Time `json:"last_run,omitzero"`
	Running bool      `json:"running"`
	// Note says in words why the job did not run when it was due the last time,
	// empty if it did.
	Note string `json:"note,omitempty"`
}

// The states of a run of a place.
const (
	RunWaiting    = "waiting"    // no shard was taken yet
	RunRunning    = "running"    //
	RunComplete   = "complete"   // everything was measured
	RunIncomplete = "incomplete" // it is over, and Why says what is missing
)

// RunStatus is one run at one place.
type RunStatus struct {
	ScanID string `json:"scan_id"`
	Job    string `json:"job"`
	Place
	State    string    `json:"state"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	// Shards by how far they are; they sum to Shards.
	Shards  int `json:"shards"`
	Waiting int `json:"waiting"`
	Running int `json:"running"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	// Targets counts the run's targets, Asked those of shards that are done or in
	// work, as far as beats tell.
	Targets uint64   `json:"targets"`
	Asked   uint64   `json:"asked"`
	Open    uint64   `json:"open"`
	Why     []string `json:"why,omitempty"`
	// Missing are the subnets that nobody measured.
	Missing []netip.Prefix `json:"missing,omitempty"`
	// Refused counts messages of agents that could not be believed; nothing of
	// them was taken.
	Refused uint64        `json:"refused,omitempty"`
	Lag     time.Duration `json:"lag_ns"` // from an agent's publishing to the server's fold, the latest
}

// Over reports whether nothing more comes of the run.
func (r *RunStatus) Over() bool { return r.State == RunComplete || r.State == RunIncomplete }

// DeadShard is one that was given out too often, or that every agent refused.
type DeadShard struct {
	Shard Shard     `json:"shard"`
	Tries int       `json:"tries"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}
