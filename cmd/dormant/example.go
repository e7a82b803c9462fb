package main

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

//go:embed examples/agent.yaml
var agentExample string

//go:embed examples/server.yaml
var serverExample string

// newAgentExample prints a configuration of an agent to begin with.
func newAgentExample(a *app) *cobra.Command {
	return newExample(a, "a configuration", "  dormant agent example > agent.yaml", agentExample)
}

// newServerExample prints a jobs file to begin with.
func newServerExample(a *app) *cobra.Command {
	return newExample(a, "a jobs file", "  dormant server example > server.yaml", serverExample)
}

func newExample(a *app, what, example, text string) *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "print " + what + " to begin with, with a word on every key",
		Example: example,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return printed(io.WriteString(a.stdout, text)) },
	}
}
