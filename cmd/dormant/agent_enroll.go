package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dormant/cmd/internal/enroll"
)

// addCredentialFlag adds --credential, the folder that says who an agent is.
func addCredentialFlag(flags *pflag.FlagSet, dir *string) {
	flags.StringVar(dir, "credential", "", "credential `FOLDER` of the agent (default dormant/agent/credential in the user's state folder)")
}

// credentialDir is --credential, else the user's own folder.
func credentialDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return statePath("agent/credential")
}

// maxTokenInput bounds what is read of a token, in bytes.
const maxTokenInput = 64 << 10

// newAgentEnroll turns a token into a credential.
func newAgentEnroll(a *app) *cobra.Command {
	var dir string
	var r enroll.Request
	cmd := &cobra.Command{
		Use:   "enroll TOKEN",
		Short: "turn a one-time token into the credential of this agent",
		Long: `The token comes from dormant server token. It says which server it is of, so that
nothing is said to any other; the key is made here and stays here. With - the token
is read from standard input, where no list of processes shows it.

The agent looks for its credential in the state folder of the user who runs it:
enroll as that user, or name the folder with --credential, here and there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if r.Dir, err = credentialDir(dir); err != nil {
				return &exitError{exitOutput, err}
			}
			r.Log, r.Token = a.log, args[0]
			if r.Token == "-" {
				text, err := io.ReadAll(io.LimitReader(a.stdin, maxTokenInput))
				if err != nil {
					return usageError("standard input: %w", err)
				}
				r.Token = strings.TrimSpace(string(text))
			}
			c, err := enroll.Enroll(cmd.Context(), r)
			switch {
			case err == nil:
				return printed(fmt.Fprintf(a.stdout, "enrolled as %s at %s (%s) until %s, credential in %s\n",
					c.Agent, c.Site, strings.Join(c.Vantages, ", "), c.Ends().Format("2006-01-02"), r.Dir))
			case errors.Is(err, enroll.ErrNotKept):
				return &exitError{exitOutput, err}
			case cmd.Context().Err() != nil:
				return &exitError{exitInterrupted, err}
			case errors.Is(err, enroll.ErrAway):
				return &exitError{exitIncomplete, err}
			default:
				return usageError("%w", err)
			}
		},
	}
	addCredentialFlag(cmd.Flags(), &dir)
	cmd.Flags().StringSliceVar(&r.Servers, "server", nil, "`HOST:PORT` of the server (repeatable; default what the token says)")
	cmd.Flags().BoolVar(&r.Replace, "replace", false, "write over a credential that is there")
	return cmd
}
