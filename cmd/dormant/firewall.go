package main

import (
	"github.com/spf13/cobra"
)

// newFirewall is before and after a change of firewall rules.
func newFirewall(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "firewall",
		Short: "before and after a rule change: who is cut off, what opens, and was it so",
		Long: `Says from files what a change of firewall rules does to the services that a scan
found and to the clients that were seen using them, and afterwards, with probes,
whether it was so. No rule is ever applied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImpact(a), newVerify(a), newCheck(a))
	return cmd
}
