package metrics

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dormant/cmd/internal/fleet"
	"dormant/fingerprint"
	"dormant/reports/history"
	"dormant/scanner"
)

// historyCollector counts what the newest ended run of each place and job found,
// the last whole one: what is asked again alone is no all-clear for the rest.
type historyCollector struct {
	store Store
	log   *slog.Logger

	up, open, severe, breaches, started, duration, complete, probes, targets, unknown *prometheus.Desc
}

func newHistoryCollector(c *Config) *historyCollector {
	where := []string{"site", "vantage", "job"}
	return &historyCollector{
		store: c.Store, log: c.Log,
		up:       family("history_up", "1 if the history could be read for this answer."),
		open:     family("open_ports", "Open ports in the newest run by verdict.", append(where, "verdict")...),
		severe:   family("open_ports_by_severity", "Open ports in the newest run by severity.", append(where, "severity")...),
		breaches: family("policy_breaches", "Open ports in the newest run that the policy forbids.", where...),
		started:  family("last_run_timestamp_seconds", "When the newest run began.", where...),
		duration: family("last_run_duration_seconds", "How long the newest run took.", where...),
		complete: family("last_run_complete", "1 if the newest run measured everything, else 0.", where...),
		probes:   family("last_run_probes", "Probes that the newest run sent.", where...),
		targets:  family("last_run_targets", "Targets of the newest run.", where...),
		unknown:  family("last_run_unmeasured_targets", "Targets of the newest run of which nothing is known: a fault on this side, or a shard that was never done.", where...),
	}
}

// Describe names the families.
func (c *historyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.open, c.severe, c.breaches, c.started, c.duration, c.complete, c.probes, c.targets, c.unknown} {
		ch <- d
	}
}

// Collect reads the history. What cannot be read is absent, and history_up says
// so: a 0 would be an all-clear.
func (c *historyCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // Collect is given none
	defer cancel()
	err := c.collect(ctx, ch)
	if err != nil {
		c.log.Warn("the history could not be read for the metrics", "err", err)
	}
	gauge(ch, c.up, truth(err == nil))
}

func (c *historyCollector) collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	places, err := c.store.Places(ctx)
	if err != nil {
		return err
	}
	type counted struct {
		run   history.Run
		tally history.Tally
	}
	var all []counted
	for _, p := range places {
		runs, err := fleet.Newest(ctx, c.store, p)
		if err != nil {
			return err
		}
		if len(runs) == 0 {
			continue
		}
		whole := runs[len(runs)-1] // and not a part of it that was asked again
		t, err := c.store.Tally(ctx, whole)
		if err != nil {
			return err
		}
		all = append(all, counted{whole, t})
	}
	for _, one := range all { // all or nothing
		c.send(ch, &one.run, &one.tally)
	}
	return nil
}

func (c *historyCollector) send(ch chan<- prometheus.Metric, r *history.Run, t *history.Tally) {
	value := func(d *prometheus.Desc, v float64, more ...string) {
		gauge(ch, d, v, append([]string{r.Site, r.Vantage, r.Job}, more...)...)
	}
	for _, v := range verdicts() {
		value(c.open, float64(t.Verdicts[v]), v)
	}
	if n := t.Verdicts[""]; n > 0 {
		value(c.open, float64(n), "not_identified")
	}
	for _, s := range []string{"info", "low", "medium", "high"} {
		value(c.severe, float64(t.Severities[s]), s)
	}
	value(c.breaches, float64(t.Breaches()))
	value(c.started, moment(r.Started))
	value(c.duration, took(r).Seconds())
	value(c.complete, truth(r.Status == "complete"))
	value(c.probes, float64(r.Facts.Scan.Probes))
	value(c.targets, float64(r.Facts.Scan.Targets))
	value(c.unknown, float64(unmeasured(&r.Facts.Scan)))
}

// unmeasured counts the targets without a state, beside those whose state is
// unknown: those of shards that nobody did, and what a sweep that was cut short
// had not come to.
func unmeasured(s *scanner.Summary) uint64 {
	known := s.Open + s.Closed + s.Filtered + s.OpenFiltered + s.Unreachable
	return max(s.Unknown, s.Targets-min(s.Targets, known))
}

// took is the time of the sweep; of a run that tells none, until it was stored.
func took(r *history.Run) time.Duration {
	if s := &r.Facts.Scan; !s.Started.IsZero() && !s.Finished.IsZero() {
		return s.Finished.Sub(s.Started)
	}
	return r.Finished.Sub(r.Started)
}

func verdicts() []string {
	var all []string
	for c := fingerprint.LicenseManager; c <= fingerprint.Unidentified; c++ {
		all = append(all, c.String())
	}
	return all
}
