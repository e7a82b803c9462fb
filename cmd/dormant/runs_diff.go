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
			d, err := difference(cmd.Context(), *db, args)
			if err != nil {
				return err
			}
			if err := writeDifference(a, &d, format, output); err != nil {
				return err
			}
			if exitCode && d.Differs() {
				return &exitError{exitFindings, nil}
			}
			return nil
		},
	}
	cmd.Flags().Var(oneOf(&format, "", "text", "json", "csv"), "format", "form of the output: text, json or csv (default: by the ending of --output, else text)")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `FILE` (.txt, .json or .csv)")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit 1 when there is a difference")
	return cmd
}

// difference compares the runs that the arguments name.
func difference(ctx context.Context, db string, args []string) (d history.Difference, err error) {
	to := "last"
	if len(args) > 0 {
		to = args[len(args)-1]
	}
	err = withRun(ctx, db, to, func(s *history.Store, r history.Run) error {
		d.To = r
		if len(args) == 2 {
			if d.From, err = s.Find(ctx, args[0]); err != nil {
				return findError(err)
			}
		} else {
			var ok bool
			if d.From, ok, err = s.Base(ctx, r); err != nil {
				return &exitError{exitOutput, err}
			} else if !ok {
				return usageError("run %s: no earlier run from the same site and vantage shares a target with it; name two runs", r.ID)
			}
		}
		err := s.Diff(ctx, d.From, d.To, func(c history.Change) error {
			d.Changes = append(d.Changes, c)
			return nil
		})
		if err != nil {
			return &exitError{exitOutput, err}
		}
		return nil
	})
	return d, err
}

func writeDifference(a *app, d *history.Difference, format, output string) error {
	if format == "" {
		switch strings.ToLower(filepath.Ext(output)) {
		case "", ".txt":
			format = "text"
		case ".json":
			format = "json"
		case ".csv":
			format = "csv"
		default:
			return usageError("--output %s: the ending names no format: want .txt, .json or .csv, or --format", output)
		}
	}
	write := func(w io.Writer) error { return d.Write(w, format) }
	if output == "" || output == "-" {
		if err := write(a.stdout); err != nil {
			return &exitError{exitOutput, err}
		}
		return nil
	}
	if err := reports.WriteFile(output, write); err != nil {
		return &exitError{exitOutput, err}
	}
	return nil
}
