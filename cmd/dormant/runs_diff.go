package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/history"
)

func newRunsDiff(a *app, db *string) *cobra.Command {
	var format, output string
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "diff [[FROM] TO]",
		Short: "what changed between two runs",
		Long: `Compares FROM with TO, by default the last run with the last comparable one before
it: the same site and vantage, and the same targets and ports where there is one.

new, changed, moved and gone are differences. A port is gone when it was not open in
two runs in a row that asked it; after one it is missing, which is listed and is no
difference. What was not measured this time is not_scanned.`,
		Example: `  dormant runs diff --exit-code
  dormant runs diff last~4 last -o changes.csv`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := diffFormat(format, output)
			if err != nil {
				return err
			}
			var differs bool
			err = withDifference(cmd.Context(), *db, args, func(d *history.Difference) error {
				differs = d.Differs()
				write := func(w io.Writer) error { return d.Write(cmd.Context(), w, format) }
				if output == "" || output == "-" {
					return write(a.stdout)
				}
				return reports.WriteFile(output, write)
			})
			if err == nil && exitCode && differs {
				err = &exitError{exitFindings, nil}
			}
			return err
		},
	}
	cmd.Flags().Var(oneOf(&format, "", "text", "json", "csv"), "format", "form of the output: text, json or csv (default: by the ending of --output, else text)")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `FILE` (.txt, .json or .csv)")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit 1 when there is a difference")
	return cmd
}

// diffFormat is the format that was asked for, or that the output's name means.
func diffFormat(format, output string) (string, error) {
	if format != "" {
		return format, nil
	}
	switch strings.ToLower(filepath.Ext(output)) {
	case "", ".txt":
		return "text", nil
	case ".json":
		return "json", nil
	case ".csv":
		return "csv", nil
	default:
		return "", usageError("--output %s: the ending names no format: want .txt, .json or .csv, or --format", output)
	}
}

// withDifference compares the runs that the arguments name, and calls fn with
// what it finds.
func withDifference(ctx context.Context, db string, args []string, fn func(d *history.Difference) error) error {
	to := "last"
	if len(args) > 0 {
		to = args[len(args)-1]
	}
	return withRun(ctx, db, to, func(s *history.Store, r history.Run) error {
		var from history.Run
		var err error
		if len(args) == 2 {
			if from, err = s.Find(ctx, args[0]); err != nil {
				return findError(err)
			}
		} else {
			var ok bool
			if from, ok, err = s.Base(ctx, r); err != nil {
				return &exitError{exitOutput, err}
			} else if !ok {
				return usageError("run %s: no earlier run from the same site and vantage shares a target with it; name two runs", r.ID)
			}
		}
		d, err := s.Compare(ctx, from, r)
		if err == nil {
			err = fn(d)
		}
		if err != nil {
			return &exitError{exitOutput, err}
		}
		return nil
	})
}
