package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
)

// auditOptions are the flags of scan about what comes after the finding: the
// history, the policy, and who is told.
type auditOptions struct {
	db        string
	noHistory bool
	policy    string
	failOn    string
	tell      tellOptions
	dueEvery  time.Duration
}

func (o *auditOptions) addFlags(flags *pflag.FlagSet) {
	addDBFlag(flags, &o.db)
	flags.BoolVar(&o.noHistory, "no-history", false, "neither store this run nor compare it with earlier ones")
	flags.StringVar(&o.policy, "policy", "", "hold the findings against the policy in `FILE`, and exit 1 on a breach or an exposed license manager")
	flags.StringVar(&o.failOn, "fail-on", "", "exit 1 on any of `WORDS`: breach, exposed, change, a verdict such as possible_c2, a severity such as high")
	flags.DurationVar(&o.dueEvery, "due-every", 0, "this scan comes back after `INTERVAL`: say so when the one before was missed (set by schedule install)")
	o.tell.addFlags(flags)
}

func addDBFlag(flags *pflag.FlagSet, db *string) {
	flags.StringVar(db, "db", "", "history `FILE`, or postgres://USER@HOST/DATABASE with the password in ~/.pgpass (default dormant/history.db in the user's state folder)")
}

// historyPath is --db, a file or a URL, else the user's own file.
func historyPath(db string) (string, error) {
	if db != "" {
		return db, nil
	}
	return statePath("history.db")
}

// audit is the sink of a scan that stores what is found before it is reported.
// A history that fails does not end the scan: the other outputs are written,
// and the exit code tells.
type audit struct {
	a        *app
	store    *history.Store // nil: no history
	recorder *history.Recorder
	run      func() reports.Run
	next     reports.Sink
	failed   error // of the history, the first

	auditor policy.Auditor // waivers hold or not for the whole run
	failOn  policy.FailOn
	found   outcome
	teller  *teller
	every   time.Duration // 0: the run belongs to no schedule

	compares bool // who is told wants to know what changed
}

var _ reports.Sink = (*audit)(nil)

// newAudit reads the policy and who is told, and opens nothing. It returns usage
// errors.
func newAudit(a *app, o *auditOptions, run func() reports.Run) (t *audit, err error) {
	t = &audit{a: a, run: run, auditor: policy.Auditor{Now: time.Now()}, every: o.dueEvery}
	if t.auditor.Policy, t.failOn, err = loadPolicy(o.policy, o.failOn); err != nil {
		return nil, err
	}
	if t.teller, err = newTeller(&o.tell); err != nil {
		return nil, err
	}
	t.found.failOn = t.failOn
	t.compares = t.failOn.Change || o.tell.url != "" && t.auditor.Policy == nil
	if o.noHistory && t.compares {
		return nil, usageError("--no-history: without it nothing is known of changes, which --fail-on change and --notify want")
	}
	return t, nil
}

// open opens the history and what is told, before anything is sent. It returns
// usage errors.
func (t *audit) open(ctx context.Context, o *auditOptions) error {
	if err := t.teller.open(); err != nil || o.noHistory {
		return err
	}
	path, err := historyPath(o.db)
	homeless := err != nil
	if err == nil {
		t.store, err = history.Open(ctx, path)
	}
	if err == nil {
		return nil
	}
	if _, damaged := errors.AsType[*history.DamagedError](err); o.db == "" && !t.compares && !damaged && (homeless || unwritable(err)) {
		t.a.log.Warn("this run is not stored", "why", err) // nobody asked for it
		return nil
	}
	return usageError("%w", err)
}

// begin says and stores that the run begins, before the first packet.
func (t *audit) begin(ctx context.Context, plan history.Plan) error {
	if err := t.teller.begin(t.run()); err != nil {
		return &exitError{exitOutput, err}
	}
	if t.store == nil {
		return nil
	}
	var err error
	t.recorder, err = t.store.Begin(ctx, plan, t.run)
	if err == nil {
		err = t.sayMissed(ctx)
	}
	return outputFault(err)
}

// sayMissed says when the run that should have come before this one did not.
func (t *audit) sayMissed(ctx context.Context) error {
	if t.every <= 0 {
		return nil
	}
	run, err := t.store.Find(ctx, t.run().ScanID)
	if err != nil {
		return err
	}
	last, ok, err := t.store.Base(ctx, run)
	if err != nil || !ok {
		return err
	}
	gap := run.Started.Sub(last.Started)
	if missed := int((gap - t.every/2) / t.every); missed > 0 { // half an interval late is late, not missed
		since := last.Started.Local().Format(time.DateTime + " MST") // who is told may live elsewhere
		t.found.missed = fmt.Sprintf("%d scheduled runs were missed since %s", missed, since)
		if missed == 1 {
			t.found.missed = "1 scheduled run was missed since " + since
		}
		t.a.log.Warn("scheduled runs were missed", "missed", missed, "last", last.ID, "at", since)
	}
	return nil
}

// columns returns the stage between the sorted findings and the formats that
// fills in what only the history knows.
func (t *audit) columns(next reports.Sink) reports.Sink {
	t.found.Sink = next
	return &compared{audit: t, next: &t.found}
}

// Write holds the finding against the policy, stores it, and gives it to the
// outputs.
func (t *audit) Write(ctx context.Context, f reports.Finding) error {
	t.auditor.Hold(&f)
	if t.recorder != nil && t.failed == nil {
		t.fail(t.recorder.Write(ctx, f))
	}
	return t.next.Write(ctx, f)
}

func (t *audit) fail(err error) {
	if err == nil || t.failed != nil {
		return
	}
	t.failed = err
	t.a.log.Error("the history failed; the scan goes on, and its reports are written", "error", err)
}

// Close completes the stored run, then the outputs, which compare it with
// earlier ones.
func (t *audit) Close() error {
	if t.recorder != nil && t.failed == nil {
		t.fail(t.recorder.Close())
	}
	err := t.next.Close()
	if t.failed != nil {
		err = errors.Join(err, fmt.Errorf("the run is not stored as a whole: %w", t.failed))
	}
	return err
}

// end tells whom it concerns, and returns err, or that what was found must not
// be.
func (t *audit) end(ctx context.Context, err error) error {
	terr := t.teller.end(ctx, t.run(), &t.found, err == nil)
	switch {
	case err != nil:
		if terr != nil {
			t.a.log.Error("not everybody could be told", "error", terr)
		}
		return err
	case terr != nil:
		return &exitError{exitOutput, terr}
	}
	if why := t.found.forbidden(); why != "" {
		return &exitError{exitFindings, errors.New(why)}
	}
	return nil
}

// release closes the history. What was stored is on the disk already.
func (t *audit) release() {
	if t.store == nil {
		return
	}
	if err := t.store.Close(); err != nil {
		t.a.log.Warn("closing the history", "error", err)
	}
}

// compared is the stage that compares, if the run was stored.
type compared struct {
	audit *audit
	next  reports.Sink
	stage reports.Sink // once it is known which
}

func (c *compared) begin(ctx context.Context) reports.Sink {
	if c.stage != nil {
		return c.stage
	}
	c.stage = c.next
	t := c.audit
	if t.recorder == nil || t.failed != nil {
		return c.stage
	}
	run, err := t.store.Find(ctx, t.run().ScanID)
	if err != nil {
		t.fail(err)
		return c.stage
	}
	c.stage = t.store.Annotate(run, c.next)
	return c.stage
}

func (c *compared) Write(ctx context.Context, f reports.Finding) error {
	return c.begin(ctx).Write(ctx, f)
}

func (c *compared) Close() error {
	return c.begin(context.Background()).Close()
}

// unwritable reports whether a file cannot be made where it should stand.
func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS)
}
