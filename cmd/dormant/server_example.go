package main

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

//go:embed examples/server.yaml
var serverExample string

// newServerExample prints a jobs file to begin with.
func newServerExample(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "print a jobs file to begin with, with a word on every key",
		Example: "  dormant server example > server.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return printed(io.WriteString(a.stdout, serverExample))
		},
	}
}
