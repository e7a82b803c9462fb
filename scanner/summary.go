package scanner

import "time"

// Summary is the truth about one run of the engine, also about a part of one.
type Summary struct {
	// Started and Finished are the bounds of the run; where dialogues were held
	// with what was found, these are within them.
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Targets counts the plan's address × port pairs of this shard, Addresses
	// its distinct addresses.
	Targets   uint64 `json:"targets"`
	Addresses uint64 `json:"addresses"`
	// Probes counts all probes sent, Retries those of them that were sent to a
	// target again.
	Probes  uint64 `json:"probes"`
	Retries uint64 `json:"retries"`
	// Skipped counts targets that got no probe because nobody has the address.
	Skipped uint64 `json:"skipped"`
	// Targets by their final state; they sum to Targets when Complete.
	Open         uint64 `json:"open"`
	Closed       uint64 `json:"closed"`
	Filtered     uint64 `json:"filtered"`
	OpenFiltered uint64 `json:"open_filtered"`
	Unreachable  uint64 `json:"unreachable"`
	Unknown      uint64 `json:"unknown"`
	// HostsAlive counts addresses that answered anything.
	HostsAlive uint64 `json:"hosts_alive"`
	// MaxHalfOpen bounds the half-open connections that any path can have held
	// at one time: the SYNs sent within one StateTimeout
	// and not answered.
	MaxHalfOpen uint64 `json:"max_half_open"`
	// StateBudget is the bound that was set for them, 0 for none.
	StateBudget uint64 `json:"state_budget,omitempty"`
	// MostToHost is the largest number of probes that any one address got, and
	// MostBytesToHost the most bytes, counted as IP packets with their headers; a
	// backend that connects lets the kernel send more than the SYN, which is not
	// counted. What is not known to the last packet, as of a run that was
	// resumed, is the most that it can have been. Requests for neighbours are not
	// in it.
	MostToHost      uint64 `json:"most_probes_to_host"`
	MostBytesToHost uint64 `json:"most_bytes_to_host"`
	// Rate is the mean of probes per second while sending.
	Rate     float64       `json:"rate"`
	Cooldown time.Duration `json:"cooldown_ns"` // waited after the last probe
	Counters Counters      `json:"counters"`
	// Complete is true when every target got its probes, nothing was lost on this
	// side, and answers did not stay away from some time on. Why names the reasons
	// when it is false.
	Complete bool     `json:"complete"`
	Why      []string `json:"why,omitempty"`
	// Notes say in words what the run did by itself: when it backed off, and why.
	Notes []string `json:"notes,omitempty"`
	// Parts is 1, and one more for each time that the run was resumed.
	Parts int `json:"parts"`
	// Uncounted is true when not everything that earlier parts sent and received
	// is in the numbers, as after a kill: they are lower bounds. What is said of
	// the targets is not touched by it.
	Uncounted bool `json:"uncounted,omitempty"`
	// Loss is what the answers to retries say of lost packets, nil when they say
	// nothing: without retries, without answers, when the run was cut short, and
	// when answers stayed away.
	Loss *Loss `json:"loss,omitempty"`
	// Estimate is of a run with two passes, else nil.
	Estimate *Estimate `json:"estimate,omitempty"`
	// Subnets tell what was covered of each /24 (IPv6: /120), sorted, where
	// Config.Subnets asked for it and the run came to its end or was cut short.
	Subnets []Subnet `json:"subnets,omitempty"`
}
