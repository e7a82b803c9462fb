package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
	"dormant/scanner"
)

// checkOptions are the flags of policy check.
type checkOptions struct {
	db, format, failOn, registryDir string
}

func newPolicyCheck(a *app) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [FILE] [RUN]",
		Short: "read a policy and say every fault with its line; hold a stored run against it",
		Long: `With a FILE alone, it is read, and every fault said with its line.

With a RUN, its findings are held against the policy of today, and what breaks
it, what a waiver tolerates, and which license managers outsiders may reach is
printed: exit 1 when there is anything but waivers. A RUN alone is held against
the policy of its day, and against what addresses and vantages tell by themselves.

Outsiders may reach a license manager that answers on a public address, or from
a vantage that the policy calls outside:
  vantages: {dmz-*: outside, partner: outside, hq: inside}
A vantage that is just called internet, dmz or guest is outside by its name.`,
		Example: `  dormant policy check policy.yaml
  dormant policy check policy.yaml last
  dormant policy check last --format json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return runPolicyCheck(cmd.Context(), a, &o, args) },
	}
	flags := cmd.Flags()
	addDBFlag(flags, &o.db)
	addListFormat(cmd, &o.format)
	addRegistryFlag(cmd, &o.registryDir)
	flags.StringVar(&o.failOn, "fail-on", "", "exit 1 on any of `WORDS` instead: breach, exposed, a verdict, a severity")
	return cmd
}

func runPolicyCheck(ctx context.Context, a *app, o *checkOptions, args []string) error {
	file, run := args[0], ""
	switch {
	case len(args) == 2:
		run = args[1]
	case namesRun(file):
		file, run = "", file
	}
	p, fail, err := loadPolicy(file, o.failOn)
	if err != nil {
		return err
	}
	if fail.Change {
		return usageError("--fail-on change: want breach, exposed, a verdict or a severity: dormant runs diff --exit-code tells of changes")
	}
	if run == "" {
		if err := writeSound(a.stdout, file, p); err != nil {
			return &exitError{exitOutput, err}
		}
		return nil
	}
	if o.failOn == "" {
		fail.Breach, fail.Exposed = true, true
	}
	reg, err := loadRegistry(o.registryDir)
	if err != nil {
		return err
	}
	return withRun(ctx, o.db, run, func(s *history.Store, r history.Run) error {
		c := checked{failOn: fail, auditor: policy.Auditor{Policy: p, Dossier: reg.Lookup, Now: time.Now()}, ticket: r.Ticket}
		if err := s.Findings(ctx, r, c.take); err != nil {
			return &exitError{exitOutput, err}
		}
		if err := c.print(a.stdout, o.format); err != nil {
			return &exitError{exitOutput, fmt.Errorf("policy check: %w", err)}
		}
		switch {
		case c.failed > 0 && o.format == "table": // its last line has said it
			return &exitError{exitFindings, nil}
		case c.failed > 0:
			return &exitError{exitFindings, errors.New(c.words())}
		}
		return nil
	})
}

// writeSound says that a policy can be used, and what of it does nothing.
func writeSound(w io.Writer, file string, p *policy.Policy) error {
	for _, idle := range p.Idle(time.Now()) {
		if _, err := fmt.Fprintf(w, "%s:%d: %s\n", file, idle.Line, idle.Why); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s: sound; rules: %d, waivers: %d\n", file, len(p.Rules), len(p.Waivers))
	return err
}

// namesRun reports whether a single argument is a run, and not a file of that
// name.
func namesRun(arg string) bool {
	if _, err := os.Lstat(arg); err == nil {
		return false
	}
	return strings.HasPrefix(arg, "s_") || arg == "last" || strings.HasPrefix(arg, "last~")
}

// checked gathers what the check of a run has to say.
type checked struct {
	auditor policy.Auditor
	failOn  policy.FailOn
	ticket  string

	rows                                    []checkedRow
	open, failed, breaches, exposed, waived int
}

// checkedRow is a finding that the policy, or its place, has something against.
type checkedRow struct {
	IP       netip.Addr    `json:"ip"`
	Port     registry.Port `json:"port"`
	Results  []string      `json:"results"` // breach, exposed, waived
	Verdict  string        `json:"verdict"`
	Product  string        `json:"product"`
	Severity string        `json:"severity"`
	Owner    string        `json:"owner"`
	Why      string        `json:"why"`    // the finding's note
	Advice   string        `json:"advice"` // what to do, of what is not waived
}

func (c *checked) take(f reports.Finding) error {
	if f.State != scanner.Open {
		return nil
	}
	c.open++
	var results []string
	add := func(holds bool, count *int, word string) {
		if holds {
			*count++
			results = append(results, word)
		}
	}
	add(c.auditor.Again(&f, c.ticket), &c.breaches, "breach")
	add(reports.Exposed(&f), &c.exposed, "exposed")
	add(slices.Contains(f.Flags, policy.FlagWaived) || slices.Contains(f.Flags, reports.FlagExposureWaived), &c.waived, "waived")
	fails := c.failOn.Fails(&f)
	if fails {
		c.failed++
	}
	if !fails && results == nil {
		return nil
	}
	row := checkedRow{
		IP: f.IP, Port: targetOf(&f).Port, Results: results, Verdict: f.Verdict.String(), Product: reports.Line(f.Product), Severity: f.Severity,
		Owner: reports.Line(f.Owner), Why: reports.Note(&f),
	}
	if fails {
		row.Advice = reports.Explain(&f).Advice
	}
	c.rows = append(c.rows, row)
	return nil
}

// words is the outcome in one line.
func (c *checked) words() string {
	against := fmt.Sprintf("%d against the policy, %d exposed to outsiders", c.breaches, c.exposed)
	words := fmt.Sprintf("nothing to object to in %d open ports", c.open)
	switch {
	case c.failed > 0:
		words = fmt.Sprintf("%d of %d open ports must not be there: %s", c.failed, c.open, against)
	case c.breaches+c.exposed > 0:
		words = fmt.Sprintf("none of %d open ports is what --fail-on names: %s", c.open, against)
	}
	if c.waived > 0 {
		words += fmt.Sprintf("; %d waived", c.waived)
	}
	return words
}

func (c *checked) print(w io.Writer, format string) error {
	switch format {
	case "json":
		return writeJSON(w, append([]checkedRow{}, c.rows...))
	case "csv":
		return c.printCSV(w)
	}
	if len(c.rows) > 0 {
		var rows [][]string
		for _, r := range c.rows {
			rows = append(rows, []string{netip.AddrPortFrom(r.IP, r.Port.Number).String() + "/" + r.Port.Proto.String(), strings.Join(r.Results, ", "), r.Severity, r.Verdict, r.Product, r.Owner})
		}
		if err := writeTable(w, []string{"target", "result", "severity", "verdict", "product", "owner"}, rows); err != nil {
			return err
		}
		for _, r := range c.rows {
			text := r.Why
			if r.Advice != "" && !strings.Contains(text, r.Advice) {
				text += " What to do: " + r.Advice
			}
			if _, err := fmt.Fprintf(w, "\n%v:%v  %s\n", r.IP, r.Port, text); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, c.words())
	return err
}

func (c *checked) printCSV(w io.Writer) error {
	var rows [][]string
	for _, r := range c.rows {
		row := []string{r.IP.String(), r.Port.String(), strings.Join(r.Results, "|"), r.Severity, r.Verdict, r.Product, r.Owner, r.Why, r.Advice}
		for i := range row[:7] {
			row[i] = reports.Cell(row[i])
		}
		row[7], row[8] = reports.LongCell(row[7]), reports.LongCell(row[8])
		rows = append(rows, row)
	}
	return writeCSV(w, []string{"ip", "port", "result", "severity", "verdict", "product", "owner", "why", "advice"}, rows)
}
