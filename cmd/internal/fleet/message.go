package fleet

import (
	"net/netip"
	"strconv"
	"time"

	"dormant/cmd/internal/pipeline"
	"dormant/registry"
)

// Version is that of the messages. A peer of another version is told so and
// gets nothing.
const Version = 1

// Shard is one work item: a part of a run that one agent does in one go.
type Shard struct {
	Version int    `json:"version"`
	Run     string `json:"run"` // the scan id of the place's run
	Job     string `json:"job"`
	Number  int    `json:"number"` // from 1 to Of
	Of      int    `json:"of"`
	Place
	// Prefixes are the addresses to ask, without those that the job excludes. The
	// agent takes away those of its own never-scan list.
	Prefixes []netip.Prefix  `json:"prefixes"`
	Ports    []registry.Port `json:"ports"`
	Seed     uint64          `json:"seed"`
	// Rate and HostRate are in probes a second; the agent's own bounds count if
	// they are lower. Rate 0 is as fast as it goes, HostRate 0 the default.
	Rate     float64 `json:"rate"`
	HostRate float64 `json:"host_rate,omitempty"`
	Retries  int     `json:"retries"`
	// NoIdentify sweeps only; Deep adds what `scan --deep` adds.
	NoIdentify bool `json:"no_identify,omitempty"`
	Deep       bool `json:"deep,omitempty"`
	// Until is when the job's window closes: the shard is not begun after it, and
	// is given back when it is reached. Zero: no bound.
	Until time.Time `json:"until,omitzero"`
}

// ID names the shard among all shards; it is the message id of the work item.
func (s *Shard) ID() string { return s.Run + "/" + strconv.Itoa(s.Number) }

// Message is what stands in the result stream: exactly one of the fields is set.
type Message struct {
	Version int   `json:"version"`
	Part    *Part `json:"part,omitempty"`
	Done    *Done `json:"done,omitempty"`
}

// Part is a batch of results of a shard.
type Part struct {
	Run   string `json:"run"`
	Shard int    `json:"shard"`
	// Attempt is an id of this carrying out of the shard: another agent's, or the
	// same agent's after a restart, is another one. It is by chance (a UUID will
	// do): whoever guessed it could have the parts dropped as repetitions.
	Attempt string            `json:"attempt"`
	Number  int               `json:"number"` // from 1
	Results []pipeline.Result `json:"results"`
}

// ID is the message id of the part.
func (p *Part) ID() string {
	return p.Run + "/" + strconv.Itoa(p.Shard) + "/" + p.Attempt + "/" + strconv.Itoa(p.Number)
}

// Done ends an attempt: all its parts stand before it in the stream.
type Done struct {
	Run      string           `json:"run"`
	Shard    int              `json:"shard"`
	Attempt  string           `json:"attempt"`
	Agent    string           `json:"agent"`
	Parts    int              `json:"parts"`
	Outcome  pipeline.Outcome `json:"outcome"`
	Started  time.Time        `json:"started"` // by the server's clock
	Finished time.Time        `json:"finished"`
	// Spared are the addresses of the shard that the site's never-scan list names.
	Spared []netip.Prefix `json:"spared,omitempty"`
	// Rate is the bound that held, the lower of the asked and the agent's own.
	Rate float64 `json:"rate"`
	// Backend is how the agent sent.
	Backend string `json:"backend"`
	// Fault is why the shard could not be carried out as a whole: no privilege, no
	// route. Empty when it was.
	Fault string `json:"fault,omitempty"`
}

// ID is the message id of the end of the attempt.
func (d *Done) ID() string {
	return d.Run + "/" + strconv.Itoa(d.Shard) + "/" + d.Attempt + "/done"
}

// Hello is what an agent tells about itself when it connects.
type Hello struct {
	Version int       `json:"version"`
	Program string    `json:"program"` // the program's version
	Host    string    `json:"host"`
	Backend string    `json:"backend"`
	Rate    float64   `json:"rate"` // the agent's own bound, 0 for none
	Now     time.Time `json:"now"`
}

// Welcome is the server's answer.
type Welcome struct {
	Version int       `json:"version"`
	Program string    `json:"program"`
	Now     time.Time `json:"now"` // the server's clock, by which agents date
	// Refused is why the agent gets no work, empty if it does.
	Refused string `json:"refused,omitempty"`
}

// Beat says that an agent is there and what it is at.
type Beat struct {
	Version int           `json:"version"`
	Program string        `json:"program"`
	Host    string        `json:"host"`
	Process string        `json:"process,omitempty"` // by chance, one for each start of the agent
	Backend string        `json:"backend"`
	Now     time.Time     `json:"now"`     // the agent's own clock
	Skew    time.Duration `json:"skew_ns"` // how far it is ahead of the server's
	// Run and Shard are what it is at, Run empty when it waits.
	Run    string `json:"run,omitempty"`
	Shard  int    `json:"shard,omitempty"`
	Sent   uint64 `json:"sent,omitempty"` // probes of the shard so far
	Total  uint64 `json:"total,omitempty"`
	Open   uint64 `json:"open,omitempty"`
	Waits  uint64 `json:"spooled"` // results on its disk that the server does not have yet
	Fault  string `json:"fault,omitempty"`
	Leaves bool   `json:"leaves,omitempty"` // the last beat of a process that ends
}
