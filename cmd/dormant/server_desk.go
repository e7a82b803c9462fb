package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dormant/cmd/internal/server"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
)

// desk judges, stores and reports the runs of a server. It is safe for
// concurrent use.
type desk struct {
	a     *app
	store *history.Store
	// tables has a table of each run written to standard output.
	tables bool

	mu       sync.Mutex // one report at a time
	breaches int        // of all runs
}

var _ server.Desk = (*desk)(nil)

// standards are what a run is judged by. They are read anew for each run, so
// that a policy that was changed counts for the next one.
type standards struct {
	rules    *fingerprint.Rules
	registry *registry.Registry
	policy   *policy.Policy // nil: none
}

func readStandards(j *server.Job) (s standards, err error) {
	if j == nil {
		j = &server.Job{}
	}
	if s.rules, err = overlaidRules(j.Rules); err != nil {
		return s, err
	}
	if s.registry, err = loadRegistry(j.Registry); err != nil {
		return s, err
	}
	s.policy, _, err = loadPolicy(j.Policy, "")
	return s, err
}

// overlaidRules returns the embedded rules, with those of a folder over them if
// one is named.
func overlaidRules(dir string) (*fingerprint.Rules, error) {
	rules, err := fingerprint.Default()
	if err != nil || dir == "" {
		return rules, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("rules %s: want a folder with *.yaml files", dir)
	}
	if rules, err = rules.Overlay(os.DirFS(dir)); err != nil {
		return nil, fmt.Errorf("rules %s: %w", dir, err)
	}
	return rules, nil
}

// check finds out before the first run what would keep one from being judged or
// reported. name is the jobs file.
func (d *desk) check(name string, j *server.Job) error {
	var faults []error
	fault := func(value string, err error) {
		what := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "--policy: "), "--") // here it is a key and no flag
		faults = append(faults, fmt.Errorf("server: %s:%d: job %s: %s", name, j.LineOf(value), j.Name, what))
	}
	if _, _, err := loadPolicy(j.Policy, ""); err != nil {
		fault(j.Policy, err)
	}
	if _, err := loadRegistry(j.Registry); err != nil {
		fault(j.Registry, err)
	}
	if _, err := overlaidRules(j.Rules); err != nil {
		fault(j.Rules, err)
	}
	for _, u := range j.Notify {
		if _, err := newTeller(&tellOptions{url: u}); err != nil {
			fault(u, err)
		}
	}
	for _, pattern := range j.Outputs {
		if dir := filepath.Dir(pattern); !strings.ContainsAny(dir, "{}") {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				fault(pattern, fmt.Errorf("output %s: want a folder that is there", pattern))
			}
		}
	}
	return errors.Join(faults...)
}

func (d *desk) tellers(j *server.Job) ([]*teller, error) {
	var all []*teller
	for _, u := range j.Notify {
		t, err := newTeller(&tellOptions{url: u})
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// Open begins the run in the history, or goes on with it.
func (d *desk) Open(ctx context.Context, r *server.Run, j *server.Job, facts func() reports.Run) (*server.Book, error) {
	by, err := readStandards(j)
	if err != nil {
		return nil, err
	}
	switch run, err := d.store.Find(ctx, r.ID); {
	case err == nil && run.ID == r.ID && run.Facts.Complete() && !run.Finished.IsZero():
		return &server.Book{Stored: &run.Facts}, nil
	case err != nil && !errors.Is(err, history.ErrNoRun):
		return nil, err
	}
	recorder, err := d.store.Begin(ctx, history.Plan{Prefixes: r.Prefixes, Ports: r.Ports}, facts)
	if err != nil {
		return nil, err
	}
	sink := &recorded{recorder: recorder, run: r, auditor: policy.Auditor{Policy: by.policy, Dossier: by.registry.Lookup, Now: time.Now()}}
	return &server.Book{Judge: by.rules, Registry: by.registry, Sink: sink, Leave: func() {
		if err := recorder.Leave(); err != nil {
			d.a.log.Debug("a run is left as it is", "run", r.ID, "error", err)
		}
	}}, nil
}

// recorded holds findings against the policy and stores them.
type recorded struct {
	recorder *history.Recorder
	run      *server.Run
	auditor  policy.Auditor
}

// Write stores the finding.
func (s *recorded) Write(ctx context.Context, f reports.Finding) error {
	s.auditor.Hold(&f)
	return s.recorder.Write(ctx, f)
}

// Close completes the stored run. What the site spared was not asked: the
// history must not take its silence for an answer.
func (s *recorded) Close() error {
	if len(s.run.Spared) > 0 {
		asked, err := s.run.Asked()
		if err == nil {
			err = s.recorder.Replan(context.Background(), history.Plan{Prefixes: asked, Ports: s.run.Ports})
		}
		if err != nil {
			return err
		}
	}
	return s.recorder.Close()
}

// Report writes the outputs of a stored run and tells whom it concerns. Nobody
// waits for somebody else's webhook.
func (d *desk) Report(ctx context.Context, r *server.Run, j *server.Job) error {
	if j == nil {
		d.a.log.WarnContext(ctx, "the job is not in the jobs file any more: its run is stored, and nobody is told", "run", r.ID, "job", r.Job)
		return nil
	}
	reg, err := loadRegistry(j.Registry)
	if err != nil {
		return err
	}
	run, err := d.store.Find(ctx, r.ID)
	if err != nil {
		return err
	}
	var found outcome
	if err := d.writeInTurn(ctx, r, j, run, reg, &found); err != nil {
		return err
	}
	if _, _, err := d.store.Changes(ctx, run); err != nil { // kept for the page, which else counts them when somebody looks
		d.a.log.WarnContext(ctx, "the changes of a run could not be counted ahead", "run", run.ID, "error", err)
	}
	d.tell(ctx, j, run, &found)
	return nil
}

func (d *desk) writeInTurn(ctx context.Context, r *server.Run, j *server.Job, run history.Run, reg *registry.Registry, found *outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.write(ctx, r, j, run, reg, found); err != nil {
		return err
	}
	d.breaches += found.breaches
	return nil
}

// write writes the outputs from the history: each is complete or not there.
func (d *desk) write(ctx context.Context, r *server.Run, j *server.Job, run history.Run, reg *registry.Registry, found *outcome) error {
	o := outputOptions{states: "open"}
	for _, pattern := range j.Outputs {
		o.outputs = append(o.outputs, server.Output(pattern, r))
	}
	to := &app{stdout: io.Discard, stderr: d.a.stderr, log: slog.New(slog.DiscardHandler), quiet: true}
	if d.tables {
		to.stdout, o.format = d.a.stdout, "table"
		if _, err := fmt.Fprintf(to.stdout, "%s at %s\n", r.Job, r.Place); err != nil {
			return err
		}
	}
	facts := func() reports.Run { return run.Facts }
	out, err := openOutputs(to, &o, reports.Options{Run: facts, Dossier: reg.Lookup, Subnets: len(run.Facts.Scan.Subnets) > 0},
		func(next reports.Sink) reports.Sink {
			found.Sink = next
			return d.store.Annotate(run, found)
		})
	if err != nil {
		return err
	}
	if err := d.store.Findings(ctx, run, func(f reports.Finding) error { return out.Write(ctx, f) }); err != nil {
		return errors.Join(err, out.abort())
	}
	return out.Close()
}

// tell notifies. One who cannot be told is no reason to keep the run.
func (d *desk) tell(ctx context.Context, j *server.Job, run history.Run, found *outcome) {
	facts := run.Facts
	facts.Vantage = facts.Site + "/" + facts.Vantage
	if !facts.Complete() {
		found.incomplete = "incomplete: " + strings.Join(facts.Reasons(), "; ")
	}
	tellers, err := d.tellers(j)
	for _, t := range tellers {
		err = errors.Join(err, t.begin(facts), t.end(ctx, facts, found, facts.Complete()))
	}
	if err != nil {
		d.a.log.ErrorContext(ctx, "not everybody could be told", "run", run.ID, "error", err)
	}
}
