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

func newRunsPrune(a *app, db *string) *cobra.Command {
	var keep uint
	var older string
	var dryRun, compact bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "remove old runs; when a port was seen first is not forgotten",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var age time.Duration
			if older != "" {
				if age, err = parseAge(older); err != nil {
					return usageError("--older-than %q: %w", older, err)
				}
			}
			if keep == 0 && older == "" {
				return usageError("runs prune: say what may go: --keep N, --older-than 90d, or both")
			}
			s, err := openHistory(cmd.Context(), *db)
			if s == nil || err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			if err := prune(cmd.Context(), a, s, keep, age, dryRun, compact); err != nil {
				return &exitError{exitOutput, err}
			}
			return nil
		},
	}
	cmd.Flags().UintVar(&keep, "keep", 0, "keep the `N` newest runs of each site and vantage")
	cmd.Flags().StringVar(&older, "older-than", "", "remove only runs that began longer ago than `AGE`, such as 90d or 36h, and clients that were not heard since")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go, remove nothing")
	cmd.Flags().BoolVar(&compact, "compact", false, "give the room back to the disk; needs as much again for a moment")
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

func prune(ctx context.Context, a *app, s *history.Store, keep uint, age time.Duration, dryRun, compact bool) error {
	runs, err := s.Runs(ctx)
	if err != nil {
		return err
	}
	seen := map[[2]string]uint{}
	var gone []history.Run
	for _, r := range runs { // the newest first
		scope := [2]string{r.Site, r.Vantage}
		if seen[scope]++; seen[scope] > keep && time.Since(r.Started) > age {
			gone = append(gone, r)
		}
	}
	verb := "removed"
	if dryRun {
		verb = "would remove"
	} else if len(gone) > 0 {
		if err := s.Prune(ctx, gone); err != nil {
			return err
		}
	}
	if age > 0 && !dryRun {
		clients, hearings, err := s.PruneClients(ctx, time.Now().Add(-age))
		if err != nil {
			return err
		}
		if clients+hearings > 0 {
			a.log.Info("clients that were not heard since", "removed", clients, "hearings", hearings)
		}
	}
	if compact && !dryRun {
		if err := s.Compact(ctx); err != nil {
			return err
		}
	}
	for _, r := range gone {
		if _, err := fmt.Fprintln(a.stdout, verb, r.ID, r.Started.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s %d of %d runs\n", verb, len(gone), len(runs))
	return err
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
			s, err := openHistory(cmd.Context(), *db)
			if s == nil || err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			runs, err := s.Runs(cmd.Context())
			if !all {
				runs = nil
				for _, name := range args {
					r, ferr := s.Find(cmd.Context(), name)
					if ferr != nil {
						return findError(ferr)
					}
					runs = append(runs, r)
				}
			}
			if err != nil {
				return &exitError{exitOutput, err}
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
