package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/history"
)

// newRuns shows the history.
func newRuns(a *app) *cobra.Command {
	var db string
	var format string
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "the history: list, show, compare, prune, export and import runs",
		Long: `Every scan is stored with its plan, findings and evidence. A RUN is the id of one,
the beginning of an id, last, or last~1 for the one before it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listRuns(cmd.Context(), a, db, format) },
	}
	addDBFlag(cmd.PersistentFlags(), &db)
	addListFormat(cmd, &format)
	cmd.AddCommand(newRunsList(a, &db), newRunsShow(a, &db), newRunsDiff(a, &db), newRunsPrune(a, &db), newRunsExport(a, &db), newRunsImport(a, &db), newRunsClients(a, &db))
	return cmd
}

func addListFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().Var(oneOf(format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
}

// openHistory opens the history that is there. Without one, and without --db,
// it returns nil: nothing was stored yet.
func openHistory(ctx context.Context, db string) (*history.Store, error) {
	path, err := historyPath(db)
	if err != nil {
		return nil, usageError("history: %w", err)
	}
	s, err := history.OpenExisting(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && db == "" {
		return nil, nil
	}
	if err != nil {
		return nil, usageError("%w", err)
	}
	return s, nil
}

// openRuns opens the history that must be there.
func openRuns(ctx context.Context, db string) (*history.Store, error) {
	s, err := openHistory(ctx, db)
	if s == nil && err == nil {
		err = usageError("no run is stored yet: dormant scan stores them")
	}
	return s, err
}

// withRun calls fn with the run that name means.
func withRun(ctx context.Context, db, name string, fn func(s *history.Store, r history.Run) error) (err error) {
	s, err := openRuns(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r, err := s.Find(ctx, name)
	if err != nil {
		return findError(err)
	}
	return fn(s, r)
}

// findRuns returns the runs that the names mean, each once.
func findRuns(ctx context.Context, s *history.Store, names []string) (runs []history.Run, err error) {
	for _, name := range names {
		r, err := s.Find(ctx, name)
		if err != nil {
			return nil, findError(err)
		}
		if !slices.ContainsFunc(runs, func(q history.Run) bool { return q.ID == r.ID }) {
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// findError tells a name that is wrong from a file that is.
func findError(err error) error {
	if _, damaged := errors.AsType[*history.DamagedError](err); damaged {
		return &exitError{exitOutput, err}
	}
	return &exitError{exitUsage, err}
}

func newRunsList(a *app, db *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the stored runs, the newest first",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return listRuns(cmd.Context(), a, *db, format) },
	}
	addListFormat(cmd, &format)
	return cmd
}

func listRuns(ctx context.Context, a *app, db, format string) (err error) {
	s, err := openHistory(ctx, db)
	if err != nil {
		return err
	}
	runs := []history.Run{}
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
		if runs, err = s.Runs(ctx); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	err = writeRuns(a.stdout, runs, format)
	if s != nil && err == nil && format != "json" && format != "csv" {
		var line string
		if line, err = clientsLine(ctx, s); line != "" {
			_, err = fmt.Fprintln(a.stdout, line)
		}
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("runs: %w", err)}
	}
	return nil
}

func writeRuns(w io.Writer, runs []history.Run, format string) error {
	if format == "json" {
		return writeJSON(w, runs)
	}
	header := []string{"id", "started", "status", "site", "vantage", "targets", "open", "hosts", "revision"}
	if format == "csv" {
		header = append(header, "finished", "ticket")
	}
	var rows [][]string
	for _, r := range runs {
		targets := strings.Join(r.Targets, " ")
		row := []string{r.ID, r.Started.Format(time.RFC3339), r.Status, r.Site, r.Vantage, targets, strconv.FormatUint(r.Open, 10),
			strconv.FormatUint(r.Hosts, 10), strconv.Itoa(r.Revision)}
		if format == "csv" {
			finished := ""
			if !r.Finished.IsZero() {
				finished = r.Finished.Format(time.RFC3339)
			}
			row = append(row, finished, r.Ticket)
		} else if len(targets) > 40 {
			row[5] = targets[:37] + "..."
		}
		for i := range row {
			if format == "csv" {
				row[i] = reports.Cell(row[i])
			} else {
				row[i] = reports.Line(row[i])
			}
		}
		rows = append(rows, row)
	}
	if format == "csv" {
		return writeCSV(w, header, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no run is stored yet")
		return err
	}
	return writeTable(w, header, rows)
}

func newRunsShow(a *app, db *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "everything that is known of a run, but its findings",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return withRun(ctx, *db, args[0], func(s *history.Store, r history.Run) error {
				revisions, err := s.Revisions(ctx, r)
				if err == nil {
					err = showRun(a.stdout, r, revisions, format)
				}
				if err != nil {
					return &exitError{exitOutput, fmt.Errorf("runs: %w", err)}
				}
				return nil
			})
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json"), "format", "form of the output: table or json")
	return cmd
}

func showRun(w io.Writer, r history.Run, revisions []history.Revision, format string) error {
	if format == "json" {
		return writeJSON(w, struct {
			history.Run
			Facts     reports.Run        `json:"facts"`
			Revisions []history.Revision `json:"revisions,omitempty"`
		}{r, r.Facts, revisions})
	}
	if err := r.Facts.WriteText(w); err != nil {
		return err
	}
	lines := []string{"status       " + r.Status, "started      " + r.Started.Format(time.RFC3339)}
	if !r.Finished.IsZero() {
		lines = append(lines, "finished     "+r.Finished.Format(time.RFC3339))
	}
	lines = append(lines, fmt.Sprintf("open         %d", r.Open))
	for _, v := range revisions {
		lines = append(lines, fmt.Sprintf("revision     %d at %s by %s: %d findings judged otherwise", v.Number, v.At.Format(time.RFC3339), v.Version, v.Changed))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
