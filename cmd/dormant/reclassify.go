package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
	"dormant/scanner"
)

// newReclassify judges a stored run by today's rules.
func newReclassify(a *app) *cobra.Command {
	var o scanOptions
	var db, format string
	var write bool
	cmd := &cobra.Command{
		Use:   "reclassify RUN",
		Short: "judge a stored run again from its evidence, by today's rules",
		Long: `Not a packet is sent: the evidence of every open port is judged again, and what comes
out otherwise is printed. --write stores it as a new revision of the run.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			rules, err := rulesOf(o.rulesDir)
			if err != nil {
				return err
			}
			reg, err := loadRegistry(o.registryDir)
			if err != nil {
				return err
			}
			return withRun(ctx, db, args[0], func(s *history.Store, r history.Run) error {
				j := rejudge{run: r, rules: rules, registry: reg}
				if err := s.Findings(ctx, r, j.take); err != nil {
					return &exitError{exitOutput, err}
				}
				if err := j.print(a.stdout, format); err != nil {
					return &exitError{exitOutput, fmt.Errorf("reclassify: %w", err)}
				}
				if !write || len(j.after) == 0 {
					return nil
				}
				rev, err := s.Revise(ctx, r, version(), j.after)
				if err != nil {
					return &exitError{exitOutput, err}
				}
				a.log.Info("stored", "run", r.ID, "revision", rev.Number, "changed", rev.Changed)
				return nil
			})
		},
	}
	addDBFlag(cmd.Flags(), &db)
	addRegistryFlag(cmd, &o.registryDir)
	cmd.Flags().StringVar(&o.rulesDir, "rules", "", "read fingerprint rules of your own from `DIR`")
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	cmd.Flags().BoolVar(&write, "write", false, "store the new verdicts as the run's next revision")
	return cmd
}

// rejudge gathers what is judged otherwise.
type rejudge struct {
	run      history.Run
	rules    *fingerprint.Rules
	registry *registry.Registry

	before, after         []reports.Finding // without dialogues
	judged, bare, tooLong int
}

func (j *rejudge) take(f reports.Finding) error {
	switch {
	case f.State != scanner.Open:
		return nil
	case f.Dialogue == nil:
		j.bare++
		return nil
	case slices.Contains(f.Flags, history.EvidenceCut):
		j.tooLong++
		return nil
	}
	j.judged++
	g := j.judge(&f)
	if same(&f, &g) {
		return nil
	}
	f.Dialogue, g.Dialogue = nil, nil
	j.before, j.after = append(j.before, f), append(j.after, g)
	return nil
}

// judge returns the finding as it would be made today.
func (j *rejudge) judge(f *reports.Finding) reports.Finding {
	mac, _ := net.ParseMAC(f.MAC) // "" is none
	o := scanner.Observation{
		Target: targetOf(f), State: f.State, Reason: f.Reason, From: f.ReasonIP, TTL: f.TTL, RTT: f.RTT, At: f.ObservedAt,
		MAC: mac, Sent: uint8(min(f.ProbesSent, 255)),
	}
	entry, _ := j.registry.Lookup(o.Port) // the zero entry: nothing is known of the port
	v := j.rules.Judge(entry, o, *f.Dialogue)
	meta := reports.Meta{ScanID: f.ScanID, Site: f.Site, Vantage: f.Vantage, Ticket: f.Ticket, Handshakes: j.run.Facts.Backend == "connect"}
	g := reports.NewFinding(meta, f.IANAName, o, &v, f.Dialogue)
	g.MACVendor, g.ProbesSent, g.ProbesAnswered = f.MACVendor, f.ProbesSent, f.ProbesAnswered
	policy.Carry(f, &g)
	(&policy.Auditor{Dossier: j.registry.Lookup}).Again(&g, j.run.Ticket) // what is a license manager only now
	g.FWEffect, g.FWRule, g.Clients = f.FWEffect, f.FWRule, f.Clients
	if g.Hostname == "" && (f.Full == nil || f.Full.Hostname == "") {
		g.Hostname = f.Hostname // the name that the user gave
	}
	return g
}

// same reports whether two verdicts say the same.
func same(f, g *reports.Finding) bool {
	return f.Verdict == g.Verdict && f.Service == g.Service && f.Product == g.Product && f.Version == g.Version && f.CPE == g.CPE &&
		f.Confidence == g.Confidence && f.RuleID == g.RuleID && (f.Full == nil) == (g.Full == nil) && (f.Full == nil || f.Full.Reason == g.Full.Reason)
}

func (j *rejudge) print(w io.Writer, format string) error {
	header := []string{"ip", "port", "verdict", "verdict_now", "product", "product_now", "version", "version_now", "rule", "rule_now", "confidence", "confidence_now"}
	var rows [][]string
	for i := range j.after {
		b, a := &j.before[i], &j.after[i]
		row := []string{b.IP.String(), targetOf(b).Port.String(), b.Verdict.String(), a.Verdict.String(), b.Product, a.Product,
			b.Version, a.Version, b.RuleID, a.RuleID, strconv.Itoa(b.Confidence), strconv.Itoa(a.Confidence)}
		for k := range row {
			if format == "csv" {
				row[k] = reports.Cell(row[k])
			} else {
				row[k] = reports.Line(row[k])
			}
		}
		rows = append(rows, row)
	}
	switch format {
	case "csv":
		return writeCSV(w, header, rows)
	case "json":
		list := []map[string]string{}
		for _, row := range rows {
			m := map[string]string{}
			for k, name := range header {
				m[name] = row[k]
			}
			list = append(list, m)
		}
		return writeJSON(w, list)
	}
	if len(rows) > 0 {
		if err := writeTable(w, header, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d verdicts change; %d without evidence and %d whose evidence was too long to keep stay as they are\n",
		len(rows), j.judged, j.bare, j.tooLong)
	return err
}
