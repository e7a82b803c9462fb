package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
)

// family describes one metric.
func family(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("dormant_"+name, help, labels, nil)
}

// gauge sends one value. Names are made printable: a label must be UTF-8.
func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	for i := range labels {
		labels[i] = reports.Line(labels[i])
	}
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	ch <- m
}

func moment(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// fleetCollector counts what a Status says.
type fleetCollector struct {
	status  func() fleet.Status
	version string

	build, agents, agentSeen, agentEnds, agentSkew, agentSpool, shards, runs, targets, asked, open, lag *prometheus.Desc
	dead, faults, jobLast, jobNext, jobRunning                                                          *prometheus.Desc
}

func newFleetCollector(c *Config) *fleetCollector {
	return &fleetCollector{
		status: c.Status, version: c.Version,
		build:      family("build_info", "Version of the program; always 1.", "version", "goversion"),
		agents:     family("agents", "Enrolled agents by what they are: online, away or revoked.", "site", "state"),
		agentSeen:  family("agent_last_seen_timestamp_seconds", "When the server last heard of the agent.", "site", "agent"),
		agentEnds:  family("agent_certificate_expiry_timestamp_seconds", "When the agent's certificate runs out; it is renewed 30 days before.", "site", "agent"),
		agentSkew:  family("agent_clock_skew_seconds", "How far the agent's clock is ahead of the server's.", "site", "agent"),
		agentSpool: family("agent_spooled_results", "Results on the agent's disk that the server does not have yet.", "site", "agent"),
		shards:     family("shards", "Shards of the runs under way by how far they are.", "site", "vantage", "state"),
		runs:       family("runs", "Runs that are waiting or running, and the last few that are over, by state.", "site", "vantage", "state"),
		targets:    family("run_targets", "Targets of the runs under way.", "site", "vantage", "job"),
		asked:      family("run_asked_targets", "Targets of the runs under way that were asked so far.", "site", "vantage", "job"),
		open:       family("run_open_ports", "Open ports that the runs under way found so far.", "site", "vantage", "job"),
		lag:        family("result_lag_seconds", "From an agent's publishing of a result to the server's taking it in, the latest of the runs under way.", "site", "vantage"),
		dead:       family("dead_shards", "Shards that were given out too often or that every agent refused.", "site"),
		faults:     family("server_faults", "What the server itself cannot do at the moment."),
		jobLast:    family("job_last_run_timestamp_seconds", "When the job last began; absent if it never did.", "job"),
		jobNext:    family("job_next_run_timestamp_seconds", "When the job begins next; absent if only by hand.", "job"),
		jobRunning: family("job_running", "1 while a run of the job is under way.", "job"),
	}
}

// Describe names the families.
func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.build, c.agents, c.agentSeen, c.agentEnds, c.agentSkew, c.agentSpool, c.shards, c.runs, c.targets, c.asked, c.open, c.lag,
		c.dead, c.faults, c.jobLast, c.jobNext, c.jobRunning,
	} {
		ch <- d
	}
}

// Collect counts one Status.
func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.status()
	gauge(ch, c.build, 1, c.version, runtime.Version())
	gauge(ch, c.faults, float64(len(st.Faults)))
	c.collectAgents(ch, &st)
	c.collectRuns(ch, &st)
	for _, j := range st.Jobs {
		gauge(ch, c.jobRunning, truth(j.Running), j.Name)
		if !j.LastRun.IsZero() {
			gauge(ch, c.jobLast, moment(j.LastRun), j.Name)
		}
		if !j.Next.IsZero() {
			gauge(ch, c.jobNext, moment(j.Next), j.Name)
		}
	}
}

// sitesOf returns every site that is known, so that a site without an agent is
// 0 and not absent.
func sitesOf(st *fleet.Status) map[string]bool {
	sites := map[string]bool{}
	for _, a := range st.Agents {
		sites[a.Site] = true
	}
	for _, j := range st.Jobs {
		for _, p := range j.Places {
			sites[p.Site] = true
		}
	}
	return sites
}

func (c *fleetCollector) collectAgents(ch chan<- prometheus.Metric, st *fleet.Status) {
	type key struct{ site, state string }
	counts, dead := map[key]int{}, map[string]int{}
	for site := range sitesOf(st) {
		dead[site] = 0
		for _, state := range []string{"online", "away", "revoked"} {
			counts[key{site, state}] = 0
		}
	}
	for _, a := range st.Agents {
		switch {
		case a.Revoked:
			counts[key{a.Site, "revoked"}]++
			continue
		case a.Online:
			counts[key{a.Site, "online"}]++
		default:
			counts[key{a.Site, "away"}]++
		}
		if !a.Ends.IsZero() {
			gauge(ch, c.agentEnds, moment(a.Ends), a.Site, a.ID)
		}
		if !a.LastSeen.IsZero() {
			gauge(ch, c.agentSeen, moment(a.LastSeen), a.Site, a.ID)
			gauge(ch, c.agentSkew, a.Last.Skew.Seconds(), a.Site, a.ID)
			gauge(ch, c.agentSpool, float64(a.Last.Waits), a.Site, a.ID)
		}
	}
	for k, n := range counts {
		gauge(ch, c.agents, float64(n), k.site, k.state)
	}
	for _, d := range st.Dead {
		dead[d.Shard.Site]++
	}
	for site, n := range dead {
		gauge(ch, c.dead, float64(n), site)
	}
}

// under is what the runs under way at a place have in common.
type under struct {
	waiting, running, done, failed int
	lag                            time.Duration
}

func (c *fleetCollector) collectRuns(ch chan<- prometheus.Metric, st *fleet.Status) {
	type state struct {
		fleet.Place
		state string
	}
	type job struct {
		fleet.Place
		job string
	}
	runs, places, jobs := map[state]int{}, map[fleet.Place]under{}, map[job][3]uint64{}
	for _, j := range st.Jobs {
		for _, p := range j.Places {
			places[p] = under{}
		}
	}
	for _, r := range st.Runs {
		runs[state{r.Place, r.State}]++
		if r.Over() {
			continue
		}
		u := places[r.Place]
		u.waiting, u.running, u.done, u.failed = u.waiting+r.Waiting, u.running+r.Running, u.done+r.Done, u.failed+r.Failed
		u.lag = max(u.lag, r.Lag)
		places[r.Place] = u
		n := jobs[job{r.Place, r.Job}]
		jobs[job{r.Place, r.Job}] = [3]uint64{n[0] + r.Targets, n[1] + r.Asked, n[2] + r.Open}
	}
	for k, n := range runs {
		gauge(ch, c.runs, float64(n), k.Site, k.Vantage, k.state)
	}
	for p, u := range places {
		gauge(ch, c.shards, float64(u.waiting), p.Site, p.Vantage, "waiting")
		gauge(ch, c.shards, float64(u.running), p.Site, p.Vantage, "running")
		gauge(ch, c.shards, float64(u.done), p.Site, p.Vantage, "done")
		gauge(ch, c.shards, float64(u.failed), p.Site, p.Vantage, "failed")
		gauge(ch, c.lag, u.lag.Seconds(), p.Site, p.Vantage)
	}
	for k, n := range jobs {
		gauge(ch, c.targets, float64(n[0]), k.Site, k.Vantage, k.job)
		gauge(ch, c.asked, float64(n[1]), k.Site, k.Vantage, k.job)
		gauge(ch, c.open, float64(n[2]), k.Site, k.Vantage, k.job)
	}
}
