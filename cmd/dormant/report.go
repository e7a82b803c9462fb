package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
)

// newReport renders a stored run again.
func newReport(a *app) *cobra.Command {
	var o outputOptions
	var db, policyFile, registryDir string
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
			reg, err := loadRegistry(registryDir)
			if err != nil {
				return err
			}
			p, _, err := loadPolicy(policyFile, "")
			if err != nil {
				return err
			}
			return withRun(ctx, db, args[0], func(s *history.Store, r history.Run) error {
				facts := func() reports.Run { return r.Facts }
				out, err := openOutputs(a, &o, reports.Options{Run: facts, Dossier: reg.Lookup, Subnets: len(r.Facts.Scan.Subnets) > 0},
					func(next reports.Sink) reports.Sink { return s.Annotate(r, next) })
				if err != nil {
					return err
				}
				auditor := policy.Auditor{Policy: p, Dossier: reg.Lookup, Now: time.Now()}
				err = s.Findings(ctx, r, func(f reports.Finding) error {
					auditor.Again(&f, r.Ticket)
					return out.Write(ctx, f)
				})
				if err != nil {
					return &exitError{exitOutput, errors.Join(err, out.abort())}
				}
				err = out.Close()
				if err == nil {
					err = writeCompanion(&o, r.Facts)
				}
				if err != nil {
					return &exitError{exitOutput, err}
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	addDBFlag(flags, &db)
	addRegistryFlag(cmd, &registryDir)
	o.addFlags(flags)
	flags.StringVar(&policyFile, "policy", "", "hold the findings against the policy in `FILE`")
	return cmd
}

// writeCompanion writes the manifest of a run that is rendered again. Who made it,
// and the bounds that it was made within, are not known any more.
func writeCompanion(o *outputOptions, facts reports.Run) error {
	stem, err := o.stem()
	if err != nil || stem == "" {
		return err
	}
	return writeManifestFile(stem+".manifest.json", o, reports.Manifest{Run: facts})
}
