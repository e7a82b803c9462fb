package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dormant/reports"
	"dormant/reports/history"
)

// newReport renders a stored run again.
func newReport(a *app) *cobra.Command {
	var o scanOptions
	var db, policyFile string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: "render a stored run again, in any format",
		Long: `Writes what scan would have written, from the history: all formats, with the changes
against the run before it. A policy is applied as it is today.`,
		Example: `  dormant report last -o audit.html -o audit.xlsx
  dormant report last~1 --format jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			reg, err := loadRegistry(o.registryDir)
			if err != nil {
				return err
			}
			p, _, err := loadPolicy(policyFile, "")
			if err != nil {
				return err
			}
			return withRun(ctx, db, args[0], func(s *history.Store, r history.Run) error {
				facts := func() reports.Run { return r.Facts }
				out, err := openOutputs(a, &o, reports.Options{Run: facts, Dossier: reg.Lookup},
					func(next reports.Sink) reports.Sink { return s.Annotate(r, next) })
				if err != nil {
					return err
				}
				now := time.Now()
				err = s.Findings(ctx, r, func(f reports.Finding) error {
					if p != nil {
						p.Apply(&f, now)
					}
					return out.Write(ctx, f)
				})
				if err != nil {
					return &exitError{exitOutput, errors.Join(err, out.abort())}
				}
				if err := out.Close(); err != nil {
					return &exitError{exitOutput, err}
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	addDBFlag(flags, &db)
	addRegistryFlag(cmd, &o.registryDir)
	addOutputFlags(flags, &o)
	flags.StringVar(&policyFile, "policy", "", "hold the findings against the policy in `FILE`")
	return cmd
}

// addOutputFlags adds the flags of everything that writes findings.
func addOutputFlags(flags *pflag.FlagSet, o *scanOptions) {
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write findings to `FILE`, format by its ending, - is stdout (repeatable)")
	flags.StringVar(&o.format, "format", "", "format on stdout instead of the table: table, "+strings.Join(reports.FormatNames(), ", "))
	flags.Var(oneOf(&o.states, "open", "all"), "states", "rows for open ports only, or for every target")
}
