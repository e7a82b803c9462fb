package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"dormant/fingerprint"
	"dormant/registry"
)

// newRules shows the fingerprint rules, proves them, and tries them on bytes.
func newRules(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "the fingerprint rules: list and show them, prove them, try them on an answer",
		Long: `A rule says what the answer of one product looks like, what that means, and where
the fact is from; its examples prove it. Own rules are files of the same form in a
folder that --rules names, here and for scan.`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&dir, "rules", "", "read fingerprint rules of your own from `DIR`")
	cmd.AddCommand(newRulesList(a, &dir), newRulesShow(a, &dir), newRulesTest(a, &dir), newRulesMatch(a, &dir))
	return cmd
}

// rulesOf are the built-in rules under those of dir, if it is not empty.
func rulesOf(dir string) (*fingerprint.Rules, error) {
	rules, err := fingerprint.Complete()
	if err != nil || dir == "" {
		return rules, err
	}
	if rules, err = rules.Overlay(os.DirFS(dir)); err != nil {
		return nil, usageError("--rules %s: %w", dir, err)
	}
	return rules, nil
}

// ruleView is one rule as machines get it.
type ruleView struct {
	ID       string            `json:"id"`
	Verdict  fingerprint.Class `json:"verdict"`
	Reason   string            `json:"reason,omitempty"`
	Family   string            `json:"family,omitempty"`
	Service  string            `json:"service"`
	Product  string            `json:"product,omitempty"`
	Kind     fingerprint.Kind  `json:"kind"`
	Points   int               `json:"points"`
	Severity string            `json:"severity,omitempty"`
	Ports    []registry.Port   `json:"ports,omitempty"`
	Examples int               `json:"examples"`
	Sources  []string          `json:"sources"`
}

func viewRule(r *fingerprint.Rule) ruleView {
	return ruleView{
		ID: r.ID, Verdict: r.Class, Reason: r.Reason, Family: r.Family, Service: r.Service, Product: r.Product, Kind: r.Kind,
		Points: r.Points, Severity: r.Severity, Ports: r.Ports, Examples: len(r.Examples), Sources: r.Sources,
	}
}

func newRulesList(a *app, dir *string) *cobra.Command {
	var format, verdict string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the rules",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var only fingerprint.Class
			if verdict != "" {
				var err error
				if only, err = fingerprint.ParseClass(verdict); err != nil {
					return usageError("--verdict: %w", err)
				}
			}
			rules, err := rulesOf(*dir)
			if err != nil {
				return err
			}
			var views []ruleView
			for _, r := range rules.All() {
				if only == 0 || r.Class == only {
					views = append(views, viewRule(r))
				}
			}
			return faultOf("rules", writeRules(a.stdout, views, format))
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	cmd.Flags().StringVar(&verdict, "verdict", "", "only rules of the verdict `WORD`, like license_manager")
	return cmd
}

func writeRules(w io.Writer, views []ruleView, format string) error {
	if format == "json" {
		return writeJSON(w, append([]ruleView{}, views...))
	}
	header := []string{"id", "verdict", "service", "product", "kind", "points", "examples"}
	var rows [][]string
	for _, v := range views {
		rows = append(rows, []string{
			v.ID, v.Verdict.String(), v.Service, v.Product, string(v.Kind), strconv.Itoa(v.Points), strconv.Itoa(v.Examples),
		})
	}
	if format == "csv" {
		return writeCSV(w, header, rows)
	}
	return writeTable(w, header, rows)
}

func newRulesShow(a *app, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID…",
		Short: "print rules as they stand in their files",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := rulesOf(*dir)
			if err != nil {
				return err
			}
			for _, id := range args {
				r, ok := rules.Rule(id)
				if !ok {
					return usageError("rules show %q: no such rule; dormant rules list names them all", id)
				}
				if _, err := fmt.Fprintf(a.stdout, "# %s\n%s", r.File, r.Text()); err != nil {
					return faultOf("rules", err)
				}
			}
			return nil
		},
	}
}

func newRulesTest(a *app, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "hold every example of every rule against all rules",
		Long: `An example must be known by its own rule, not be taken by another one, and give the
fields that it names; what stands under "not" must not match. Exit 1 when one fails.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			rules, err := rulesOf(*dir)
			if err != nil {
				return err
			}
			examples := 0
			for _, r := range rules.All() {
				examples += len(r.Examples) + len(r.Not)
			}
			if faults := rules.Check(); len(faults) > 0 {
				return &exitError{exitFindings, fmt.Errorf("%d of %d examples fail:\n%w", len(faults), examples, errors.Join(faults...))}
			}
			_, err = fmt.Fprintf(a.stdout, "%d rules, %d examples: all hold\n", len(rules.All()), examples)
			return outputFault(err)
		},
	}
}
