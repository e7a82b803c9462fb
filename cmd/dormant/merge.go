package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/scanner"
)

// newMerge proves from manifests that the shards of a scan are the whole.
func newMerge(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "merge MANIFEST…",
		Short: "prove from the manifests of shards that together they are the whole scan",
		Long: `Reads the manifests that scan --shard i/n --manifest FILE has written and says
whether they are the parts of one plan, each there once and complete. Shard i of n
has the targets at the places i-1, i-1+n, i-1+2n, … of one order, which the plan's
hash fixes: parts with the same hash and n and different i cannot overlap, and n
of them leave nothing out.

Exit 0: whole. Exit 3: a shard is missing or incomplete. Exit 2: they do not
belong together.`,
		Example: `  dormant scan 10.0.0.0/12 --seed 7 --shard 1/2 --manifest 1.json -o 1.csv
  dormant scan 10.0.0.0/12 --seed 7 --shard 2/2 --manifest 2.json -o 2.csv
  dormant merge 1.json 2.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			parts, err := readParts(args)
			if err != nil {
				return err
			}
			missing, err := merge(parts)
			return a.reportMerge(missing, together(parts), err)
		},
	}
}

// part is one shard, as its manifest has it.
type part struct {
	name     string // of the manifest
	plan     string // hash
	shard    shardValue
	whole    uint64 // targets of the plan
	targets  uint64 // of the shard
	complete bool
	why      []string
	estimate *scanner.Estimate // nil: of one pass
}

// maxManifest is far above the manifest of a /8, whose 65,536 subnets take 16 MB, in
// bytes.
const maxManifest = 256 << 20

func readParts(paths []string) ([]part, error) {
	var parts []part
	for _, path := range paths {
		b, err := readWhole(path, maxManifest)
		if err != nil {
			return nil, usageError("merge: %w", err)
		}
		var m reports.Manifest
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, usageError("merge: %s: want a manifest: %w", path, err)
		}
		p := part{name: path, plan: m.Run.PlanHash, shard: shardValue{1, 1}, whole: m.Settings.PlanTargets,
			targets: m.Run.Scan.Targets, complete: m.Complete, why: m.Why, estimate: m.Run.Scan.Estimate}
		if p.plan == "" || p.whole == 0 {
			return nil, usageError("merge: %s: want a manifest of a scan: it names no plan", path)
		}
		if m.Run.Shard != "" {
			if err := p.shard.Set(m.Run.Shard); err != nil {
				return nil, usageError("merge: %s: shard %q: %w", path, m.Run.Shard, err)
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// errApart is why parts do not belong together.
var errApart = errors.New("merge: they do not belong together")

// merge says what is missing until the parts are the whole plan, nothing when
// they are. The error wraps errApart when they cannot be joined at all.
func merge(parts []part) (missing []string, err error) {
	first, seen := parts[0], map[uint64]string{}
	for _, p := range parts {
		switch other, twice := seen[p.shard.Index]; {
		case p.plan != first.plan || p.whole != first.whole:
			return nil, fmt.Errorf("%w: %s has another plan than %s", errApart, p.name, first.name)
		case p.shard.Count != first.shard.Count:
			return nil, fmt.Errorf("%w: %s is one of %d shards, %s one of %d", errApart, p.name, p.shard.Count, first.name, first.shard.Count)
		case twice:
			return nil, fmt.Errorf("%w: %s and %s are both shard %d/%d", errApart, other, p.name, p.shard.Index, p.shard.Count)
		case p.targets != shardSize(p.whole, p.shard):
			return nil, fmt.Errorf("%w: %s has %d targets, shard %d/%d of this plan has %d", errApart, p.name, p.targets,
				p.shard.Index, p.shard.Count, shardSize(p.whole, p.shard))
		}
		seen[p.shard.Index] = p.name
		if !p.complete {
			missing = append(missing, fmt.Sprintf("%s is incomplete (%s)", p.name, strings.Join(p.why, "; ")))
		}
	}
	for i := uint64(1); i <= first.shard.Count; i++ {
		from := i
		for ; i <= first.shard.Count && seen[i] == ""; i++ {
		}
		switch last := i - 1; {
		case last == from:
			missing = append(missing, fmt.Sprintf("shard %d/%d is missing", from, first.shard.Count))
		case last > from:
			missing = append(missing, fmt.Sprintf("shards %d to %d of %d are missing", from, last, first.shard.Count))
		}
	}
	return missing, nil
}

// together is the estimate of parts that do not overlap, nil when one of them has
// none.
func together(parts []part) *scanner.Estimate {
	var first, second, both uint64
	for _, p := range parts {
		if p.estimate == nil {
			return nil
		}
		first, second, both = first+p.estimate.First, second+p.estimate.Second, both+p.estimate.Both
	}
	all := scanner.Chapman(first, second, both)
	return &all
}

// shardSize is the number of places i-1, i-1+n, … below the plan's length.
func shardSize(whole uint64, s shardValue) uint64 {
	if s.Index > whole {
		return 0
	}
	return (whole-s.Index)/s.Count + 1
}

// reportMerge says in one line, and in the exit code, what merge found.
func (a *app) reportMerge(missing []string, estimate *scanner.Estimate, err error) error {
	switch {
	case err != nil:
		return &exitError{exitUsage, err}
	case len(missing) > 0:
		return &exitError{exitIncomplete, errors.New("merge: not the whole: " + strings.Join(missing, "; "))}
	}
	said := "whole: every target of the plan is in exactly one of these runs, and all are complete\n"
	if estimate != nil {
		said += "estimate: " + reports.EstimateLine(*estimate) + "\n"
	}
	_, err = io.WriteString(a.stdout, said)
	return outputFault(err)
}
