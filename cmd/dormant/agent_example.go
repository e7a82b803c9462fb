package main

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

//go:embed examples/agent.yaml
var agentExample string

// newAgentExample prints a configuration of an agent to begin with.
func newAgentExample(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "print a configuration to begin with, with a word on every key",
		Example: "  dormant agent example > agent.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return printed(io.WriteString(a.stdout, agentExample))
		},
	}
}
