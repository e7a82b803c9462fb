package main

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
)

// newPolicy writes and checks policies; scan --policy applies them.
func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "who may serve what where: write a first policy, check one, import an inventory",
		Long: `A policy is a YAML file of rules and waivers. scan --policy FILE fills the columns
expected, owner, ticket and severity from it, and exits 1 on a breach, or when
outsiders may reach a license manager. Whoever answers a vantage that the policy
calls outside is reached by outsiders.

Every key that there is; only version must be there:
  version: 1
  default: unknown          # of a port that no rule names: unknown, yes, or no: a breach
  vantages:                 # the first that matches decides; * is any part of a name
    dmz-*: outside          # outside or inside
  rules:                    # the first that matches decides
    - name: cad             # for messages; no two the same
      address: [10.1.4.0/24, 10.9.0.7]
      port: 1947/tcp, 5093  # a bare number is tcp and udp
      verdict: license_manager
      product: sentinel*    # * is any part of the name, letters have no case
      vantage: lan-*        # likewise: seen from there
      expected: "yes"       # yes, no: a breach, or unknown
      owner: CAD team       # into the columns of the finding, as is ticket
      ticket: CHG0012345
      severity: high        # of a breach at least: info, low, medium (the default) or high
      reason: no shells     # of a breach, into its note
  waivers:                  # tolerate a breach, or an exposed license manager, for a while
    - address: 10.2.0.14    # and port, verdict, product, vantage, as in a rule
      owner: R. Meyer       # needed, and so are reason and expires
      reason: demo until the fair
      ticket: CHG0012345
      expires: 2027-03-31   # the last day, by the clock of this machine
What a rule or a waiver does not name is any; what it names must all hold. Each takes
one value, several with commas between them, or a list.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyInit(a), newPolicyCheck(a), newPolicyImport(a))
	return cmd
}

func newPolicyInit(a *app) *cobra.Command {
	var db, output string
	cmd := &cobra.Command{
		Use:   "init RUN",
		Short: "write a first policy from what a run found",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return withRun(ctx, db, args[0], func(s *history.Store, r history.Run) error {
				var findings []reports.Finding
				err := s.Findings(ctx, r, func(f reports.Finding) error {
					f.Full, f.Dialogue = nil, nil
					findings = append(findings, f)
					return nil
				})
				if err != nil {
					return &exitError{exitOutput, err}
				}
				return writeNew(a, output, func(w io.Writer) error { return policy.Init(w, r.ID, findings) })
			})
		},
	}
	addDBFlag(cmd.Flags(), &db)
	cmd.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`, which must not be there")
	return cmd
}

// writeNew writes stdout, or a file that is not there yet: a policy that
// somebody has corrected is not written over.
func writeNew(a *app, output string, write func(io.Writer) error) error {
	if output == "-" {
		if err := write(a.stdout); err != nil {
			return &exitError{exitOutput, err}
		}
		return nil
	}
	if _, err := os.Lstat(output); err == nil {
		return usageError("--output %s is there already: name another file, or remove it", output)
	}
	if err := reports.WriteFile(output, write); err != nil {
		return &exitError{exitOutput, err}
	}
	return nil
}

func newPolicyImport(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "import INVENTORY.csv",
		Short: "write a policy from an approved inventory",
		Long: `The inventory is CSV with a header: address (or ip) and port, and any of transport,
verdict, product, owner, ticket, expected and severity. Each row becomes a rule.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in := a.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return usageError("policy import: %w", err)
				}
				defer f.Close() //nolint:errcheck // only read
				in = f
			}
			var out bytes.Buffer
			if err := policy.Import(&out, args[0], in); err != nil {
				return usageError("%w", err)
			}
			return writeNew(a, output, func(w io.Writer) error {
				_, err := w.Write(out.Bytes())
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`, which must not be there")
	return cmd
}

// loadPolicy reads --policy and --fail-on. With a policy and no --fail-on, a
// breach fails, and a license manager that outsiders may reach.
func loadPolicy(file, failOn string) (*policy.Policy, policy.FailOn, error) {
	var p *policy.Policy
	var fail policy.FailOn
	var err error
	if file != "" {
		if p, err = policy.Load(file); err != nil {
			return nil, fail, usageError("--policy: %w", err)
		}
		fail.Breach, fail.Exposed = true, true
	}
	if failOn != "" {
		if fail, err = policy.ParseFailOn(failOn); err != nil {
			return nil, fail, usageError("--fail-on %w", err)
		}
		if fail.Breach && p == nil {
			return nil, fail, usageError("--fail-on breach: %w", errors.New("want --policy FILE, too"))
		}
	}
	return p, fail, nil
}
