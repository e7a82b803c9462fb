package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/history"
)

// pruning says which runs may go.
type pruning struct {
	runs    []string // names; with them, no rule
	keep    uint
	older   string
	age     time.Duration // of older
	dryRun  bool
	compact bool
}

func newRunsPrune(a *app, db *string) *cobra.Command {
	var p pruning
	cmd := &cobra.Command{
		Use:   "prune [RUN…]",
		Short: "remove old runs, or those that are named; when a port was seen first is not forgotten",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			p.runs = args
			if p.older != "" {
				if p.age, err = parseAge(p.older); err != nil {
					return usageError("--older-than %q: %w", p.older, err)
				}
			}
			if byRule := p.keep > 0 || p.older != ""; byRule == (len(args) > 0) {
				return usageError("runs prune: say what may go: --keep N, --older-than 90d, both, or else the runs themselves")
			}
			open := openHistory
			if len(args) > 0 {
				open = openRuns
			}
			s, err := open(cmd.Context(), *db)
			if s == nil || err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return p.prune(cmd.Context(), a, s)
		},
	}
	cmd.Flags().UintVar(&p.keep, "keep", 0, "keep the `N` newest runs of each site and vantage")
	cmd.Flags().StringVar(&p.older, "older-than", "", "remove only runs that began longer ago than `AGE`, such as 90d or 36h, and clients that were not heard since")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "say what would go, remove nothing")
	cmd.Flags().BoolVar(&p.compact, "compact", false, "give the room back to the disk; needs as much again for a moment")
	return cmd
}

// parseAge reads 90d, and what Go reads as a duration.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("want a number of days, such as 90d")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("want an age such as 90d or 36h")
	}
	return d, nil
}

// prune removes what may go, and says it.
func (p *pruning) prune(ctx context.Context, a *app, s *history.Store) error {
	all, err := s.Runs(ctx)
	if err != nil {
		return &exitError{exitOutput, err}
	}
	gone := p.old(all)
	if len(p.runs) > 0 {
		if gone, err = findRuns(ctx, s, p.runs); err != nil {
			return err
		}
	}
	verb := "would remove"
	if !p.dryRun {
		verb = "removed"
		if err := p.remove(ctx, a, s, gone); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	for _, r := range gone {
		if _, err := fmt.Fprintln(a.stdout, verb, r.ID, r.Started.Format(time.RFC3339)); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	if _, err = fmt.Fprintf(a.stdout, "%s %d of %d runs\n", verb, len(gone), len(all)); err != nil {
		return &exitError{exitOutput, err}
	}
	return nil
}

// old returns the runs, given the newest first, that no rule keeps.
func (p *pruning) old(runs []history.Run) (gone []history.Run) {
	seen := map[[2]string]uint{}
	for _, r := range runs {
		scope := [2]string{r.Site, r.Vantage}
		if seen[scope]++; seen[scope] > p.keep && time.Since(r.Started) > p.age {
			gone = append(gone, r)
		}
	}
	return gone
}

func (p *pruning) remove(ctx context.Context, a *app, s *history.Store, gone []history.Run) error {
	if err := s.Prune(ctx, gone); err != nil {
		return err
	}
	if p.age > 0 {
		clients, hearings, err := s.PruneClients(ctx, time.Now().Add(-p.age))
		if err != nil {
			return err
		}
		if clients+hearings > 0 {
			a.log.Info("clients that were not heard since", "removed", clients, "hearings", hearings)
		}
	}
	if p.compact {
		return s.Compact(ctx)
	}
	return nil
}

func newRunsExport(a *app, db *string) *cobra.Command {
	var output string
	var all bool
	cmd := &cobra.Command{
		Use:   "export [RUN…]",
		Short: "write runs with findings and evidence as JSON lines, for runs import",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if all == (len(args) > 0) {
				return usageError("runs export: name runs, or say --all")
			}
			s, err := openRuns(cmd.Context(), *db)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			var runs []history.Run
			if all {
				if runs, err = s.Runs(cmd.Context()); err != nil {
					return &exitError{exitOutput, err}
				}
			} else if runs, err = findRuns(cmd.Context(), s, args); err != nil {
				return err
			}
			// What can be read of a damaged history is kept, so a fault of
			// reading does not take the file away.
			var faults error
			write := func(w io.Writer) error {
				err := s.Export(cmd.Context(), w, runs...)
				if _, damaged := errors.AsType[*history.DamagedError](err); damaged {
					faults, err = err, nil
				}
				return err
			}
			if output == "-" {
				err = write(a.stdout)
			} else {
				err = reports.WriteFile(output, write)
			}
			if err = errors.Join(err, faults); err != nil {
				return &exitError{exitOutput, err}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`")
	cmd.Flags().BoolVar(&all, "all", false, "every stored run")
	return cmd
}

func newRunsImport(a *app, db *string) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "store runs that were exported; - is stdin",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := a.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return usageError("runs import: %w", err)
				}
				defer f.Close() //nolint:errcheck // only read
				in = f
			}
			path, err := historyPath(*db)
			if err != nil {
				return usageError("history: %w", err)
			}
			s, err := history.Open(cmd.Context(), path)
			if err != nil {
				return usageError("%w", err)
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			ids, err := s.Import(cmd.Context(), in)
			for _, id := range ids {
				if _, err := fmt.Fprintln(a.stdout, "stored", id); err != nil {
					return &exitError{exitOutput, err}
				}
			}
			if err != nil {
				return usageError("%s: %w", args[0], err)
			}
			return nil
		},
	}
}
