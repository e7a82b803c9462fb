package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"dormant/cmd/internal/checkpoint"
	"dormant/cmd/internal/pipeline"
	"dormant/cmd/internal/schedule"
	"dormant/fingerprint"
	"dormant/scanner"
)

// checkpointEvery is how much work a kill can cost, and how often the disk is
// asked to sync.
const checkpointEvery = time.Second

// kept is what connects a scan with its run on disk. The zero value keeps
// nothing.
type kept struct {
	run     *checkpoint.Run
	resumed bool
	known   map[scanner.Target]fingerprint.Evidence
	answers int
}

// notOfTheRun are flags that a resumed run does not take over.
func notOfTheRun(name string) bool {
	return slices.Contains([]string{"resume", "config", "help", "dry-run", "quiet", "progress", "log-level", "log-format"}, name)
}

// given returns the flags that were set, with their values, for a later resume.
func given(flags *pflag.FlagSet) map[string][]string {
	all := map[string][]string{}
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if !notOfTheRun(f.Name) && (f.Name != "shard" || values[0] != "") {
			all[f.Name] = values
		}
	})
	return all
}

// reopen opens the run that --resume names, and gives every flag that was left
// alone the value that it had there. It returns the targets to scan.
func (s *scan) reopen(flags *pflag.FlagSet, args []string) ([]string, error) {
	if s.o.control.resume == "" {
		return args, nil
	}
	root, err := statePath("runs")
	if err != nil {
		return nil, usageError("--resume: %w", err)
	}
	id, err := checkpoint.Find(root, s.o.control.resume)
	if err == nil {
		s.kept.run, err = checkpoint.Open(root, id)
	}
	if err == nil {
		s.kept.known, s.kept.answers, err = s.kept.run.Dialogues()
	}
	if err != nil {
		return nil, usageError("--resume: %w", err)
	}
	h := s.kept.run.Header
	s.kept.resumed, s.o.created = true, h.Created
	changed := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { changed[f.Name] = true })
	own := len(args) > 0 || changed["targets"]
	for _, name := range slices.Sorted(maps.Keys(h.Flags)) {
		if changed[name] || name == "targets" && own {
			continue
		}
		for _, value := range h.Flags[name] {
			if err := setStanding(flags, name, value); err != nil {
				return nil, usageError("--resume %s: its flag --%s %q: %w", id, name, value, err)
			}
		}
	}
	if !changed["seed"] {
		s.o.seed, s.o.seedGiven = h.Seed, true
	}
	if own {
		return args, nil
	}
	if slices.Contains(s.o.targetFiles, "-") {
		return nil, usageError("--resume %s: its targets came from standard input: give them again with --targets -", id)
	}
	return h.Args, nil
}

// identity is a hash of everything that decides what is sent to whom.
func (s *scan) identity() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\nshard %s\n", s.plan.Hash(), s.o.shard.String())
	for _, p := range s.plan.Ports() {
		fmt.Fprintf(h, "%v %x\n", p, s.rules.Payload(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sameRun refuses to go on with a run of another plan.
func (s *scan) sameRun() error {
	if !s.kept.resumed {
		return nil
	}
	id := s.kept.run.Header.ScanID
	if s.kept.run.Header.Identity != s.identity() {
		return usageError("--resume %s: that run has another plan (targets, exclusions, ports, seed, shard or datagrams): give the same ones, or none to take them from the run", id)
	}
	s.meta.ScanID, s.run.ScanID = id, id
	s.a.log.Info("resuming", "run", id, "answers", s.kept.answers, "dialogues", len(s.kept.known),
		"round", s.kept.run.Position.Round, "position", s.kept.run.Position.Next, "of", s.plan.Len())
	return nil
}

// keep makes the run on disk, if it is a new one. A scan that cannot be kept is
// worth having all the same.
func (s *scan) keep(flags *pflag.FlagSet, args []string) {
	if s.kept.resumed {
		return
	}
	root, err := statePath("runs")
	if err == nil {
		s.prune(root)
		s.kept.run, err = checkpoint.Create(root, checkpoint.Header{
			ScanID: s.meta.ScanID, Created: s.o.created, Program: version(), Identity: s.identity(), Seed: s.o.seed,
			Args: slices.Concat([]string{}, args), Flags: given(flags),
		})
	}
	if err != nil {
		s.a.log.Warn("no checkpoints: the run cannot be resumed", "error", err)
	}
}

// unresumed is how long and how many scans wait to be resumed. A month is the
// longest time between two scans that is usual.
func unresumed() checkpoint.Limits {
	return checkpoint.Limits{Age: schedule.Month, Number: 20}
}

// prune removes scans that were interrupted and never resumed.
func (s *scan) prune(root string) {
	gone, err := checkpoint.Prune(root, unresumed(), time.Now())
	for _, p := range gone {
		s.a.log.Info("an unfinished scan is removed", "run", p.ID, "last worked on", p.Last.Local().Format(time.DateTime), "why", p.Why)
	}
	if err != nil {
		s.a.log.Warn("unfinished scans could not be removed", "error", err)
	}
}

// saving saves the position every few seconds until stop is called, which saves
// it once more and is told whether a later part will know of everything that was
// sent.
func (s *scan) saving(ctx context.Context, position func() scanner.Position) (stop func(counted bool)) {
	if s.kept.run == nil {
		return func(bool) {}
	}
	if err := s.kept.run.Save(position()); err != nil { // from here on it runs, also when it is resumed
		s.a.log.Warn("the checkpoint could not be saved", "error", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.kept.run.Keep(ctx, checkpointEvery, position, s.a.log) }) // ends with ctx, by stop
	return func(counted bool) {
		cancel()
		wg.Wait()
		last := s.kept.run.SaveLast
		if !counted {
			last = s.kept.run.Save
		}
		if err := last(position()); err != nil {
			s.a.log.Warn("the last checkpoint could not be saved", "error", err)
		}
	}
}

// settle removes the run from the disk when nothing is left to do, and keeps
// it otherwise. It returns how to go on, "" when that is not possible.
func (s *scan) settle(unfinished bool) string {
	if s.kept.run == nil {
		return ""
	}
	id := s.kept.run.Header.ScanID
	done := s.kept.run.Remove
	if unfinished {
		done = s.kept.run.Close
	}
	s.kept.run = nil
	if err := done(); err != nil {
		s.a.log.Warn("cleaning up the checkpoint", "error", err)
	}
	if !unfinished {
		return ""
	}
	return "checkpoint saved, continue with: dormant scan --resume " + id
}

// memory is a crew that holds no dialogue which an earlier part of the run has
// held, writes down those that it holds, and begins none while the run is on
// hold.
type memory struct {
	crew  pipeline.Crew
	hold  func(context.Context) error
	known map[scanner.Target]fingerprint.Evidence
	keep  func(*fingerprint.Evidence) error // nil: nothing is kept
	fault func(error)
}

var _ pipeline.Crew = (*memory)(nil)

// Run implements pipeline.Crew.
func (m *memory) Run(ctx context.Context, in <-chan scanner.Observation, workers int, emit func(fingerprint.Result)) {
	unknown := make(chan scanner.Observation)
	var wg sync.WaitGroup
	wg.Go(func() { // ends when in is closed; the crew takes from unknown until it is closed
		defer close(unknown)
		for o := range in {
			if ev, ok := m.known[o.Target]; ok {
				emit(fingerprint.Result{Observation: o, Evidence: ev})
				continue
			}
			_ = m.hold(ctx) // an error is the end of ctx, of which the crew makes what it should
			unknown <- o
		}
	})
	m.crew.Run(ctx, unknown, workers, func(r fingerprint.Result) {
		if finished(r) && m.keep != nil {
			if err := m.keep(&r.Evidence); err != nil {
				m.fault(err)
			}
		}
		emit(r)
	})
	wg.Wait()
}

// finished reports whether a dialogue came to its end, so that it is not held
// again when the run is resumed.
func finished(r fingerprint.Result) bool {
	return r.Err == nil && r.Evidence.Status != fingerprint.StatusCancelled && r.Evidence.Status != fingerprint.StatusLocalError
}

// release closes a run that was opened and not settled: a fault was found
// before the first probe.
func (s *scan) release() {
	if s.kept.run == nil {
		return
	}
	if err := s.kept.run.Close(); err != nil {
		s.a.log.Warn("closing the checkpoint", "error", err)
	}
}
