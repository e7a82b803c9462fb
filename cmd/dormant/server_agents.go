package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
)

// addStateFlag adds --state, the folder of everything that a server keeps.
func addStateFlag(flags *pflag.FlagSet, state *string) {
	flags.StringVar(state, "state", "", "state `FOLDER` of the server (default dormant/server in the user's state folder)")
}

// serverState is --state, else the user's own folder.
func serverState(state string) (string, error) {
	if state != "" {
		return state, nil
	}
	return statePath("server")
}

// openAuthority opens what says who is an agent of the server with this state
// folder. It works with the server running and without.
func openAuthority(state string) (*enroll.Authority, error) {
	dir, err := serverState(state)
	if err != nil {
		return nil, &exitError{exitOutput, err}
	}
	if err := enroll.CheckOwner(dir); err != nil {
		return nil, usageError("--state: %w", err)
	}
	a, err := enroll.Open(filepath.Join(dir, "enroll"))
	if err != nil {
		return nil, &exitError{exitOutput, fmt.Errorf("--state %s: %w", dir, err)}
	}
	return a, nil
}

// newServerToken makes one-time tokens.
func newServerToken(a *app) *cobra.Command {
	var state string
	var t enroll.TokenFor
	cmd := &cobra.Command{
		Use:   "token --agent NAME --site SITE --vantage VANTAGE…",
		Short: "make a one-time token by which an agent is enrolled",
		Long: `The token goes to standard output. Whoever has it can become this one agent, at
this site and these vantages, once and until it runs out: carry it as you would
carry a password. On the agent's machine: dormant agent enroll TOKEN`,
		Example: `  dormant server token --agent hq-1 --site hq --vantage lan --server audit.example.net:4222`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			authority, err := openAuthority(state)
			if err != nil {
				return err
			}
			if len(t.Servers) == 0 {
				if t.Servers, err = authority.Announced(); err != nil {
					return &exitError{exitOutput, err}
				}
			}
			places, err := authority.AnnouncedPlaces()
			if err != nil {
				return &exitError{exitOutput, err}
			}
			text, expires, err := authority.NewToken(t)
			if err != nil {
				return usageError("%w", err)
			}
			if len(t.Servers) == 0 {
				a.log.Warn("the token names no server, because none has run on this state folder with --listen: give the agent --server HOST:PORT")
			}
			warnOfPlaces(a.log, &t, places)
			a.log.Info("token made", "agent", t.Agent, "site", t.Site, "vantages", strings.Join(t.Vantages, ","), "servers", strings.Join(t.Servers, ","), "until", expires.Format(time.RFC3339))
			return printed(fmt.Fprintln(a.stdout, text))
		},
	}
	flags := cmd.Flags()
	addStateFlag(flags, &state)
	flags.StringVar(&t.Agent, "agent", "", "`NAME` that the agent will have")
	flags.StringVar(&t.Site, "site", "", "`SITE` that it works at")
	flags.StringSliceVar(&t.Vantages, "vantage", nil, "`VANTAGE` that it scans from (repeatable)")
	flags.StringSliceVar(&t.Servers, "server", nil, "`HOST:PORT` where it finds the server (repeatable; default what the server was started with)")
	flags.DurationVar(&t.Expiry, "expires", enroll.DefaultExpiry, "`HOW LONG` the token can be used, at most 720h")
	flags.BoolVar(&t.Replace, "replace", false, "the agent is enrolled already: its old credential ends when the token is used")
	for _, name := range []string{"agent", "site", "vantage"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}

// warnOfPlaces says that the agent will have nothing to do, as long as its site
// or one of its vantages is not among the places of the server that ran last.
func warnOfPlaces(log *slog.Logger, t *enroll.TokenFor, places []fleet.Place) {
	if len(places) == 0 {
		return // no server has run yet: nothing is known
	}
	var sites, vantages []string // sorted, as places are
	for _, p := range places {
		if !slices.Contains(sites, p.Site) {
			sites = append(sites, p.Site)
		}
		if p.Site == t.Site {
			vantages = append(vantages, p.Vantage)
		}
	}
	const until = ": the agent is refused there until it does"
	if len(vantages) == 0 {
		log.Warn("the server's jobs file does not name the site"+until, "site", t.Site, "sites", strings.Join(sites, ","))
		return
	}
	for _, v := range t.Vantages {
		if !slices.Contains(vantages, v) {
			log.Warn("the server's jobs file does not name the vantage"+until, "site", t.Site, "vantage", v, "vantages", strings.Join(vantages, ","))
		}
	}
}

// printed makes a fault of standard output that of the command.
func printed(_ int, err error) error {
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("standard output: %w", err)}
	}
	return nil
}

// newServerAgents lists and revokes.
func newServerAgents(a *app) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "list the enrolled agents, and revoke one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	addStateFlag(cmd.PersistentFlags(), &state)
	cmd.AddCommand(newServerAgentsList(a, &state), newServerAgentsRevoke(a, &state))
	return cmd
}

func newServerAgentsList(a *app, state *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the agents that were ever enrolled",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			authority, err := openAuthority(*state)
			if err != nil {
				return err
			}
			all, err := authority.Agents()
			if werr := writeAgents(a.stdout, all, format, time.Now()); werr != nil {
				return &exitError{exitOutput, werr}
			}
			if err != nil {
				return &exitError{exitIncomplete, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))}
			}
			return nil
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	return cmd
}

func writeAgents(w io.Writer, all []enroll.Agent, format string, now time.Time) error {
	header := []string{"agent", "site", "vantages", "enrolled", "certificate until", "state"}
	rows := [][]string{}
	for _, g := range all {
		state := "enrolled"
		switch {
		case !g.Revoked.IsZero():
			state = "revoked " + g.Revoked.Format(time.DateOnly)
		case now.After(g.Ends):
			state = "ended"
		}
		rows = append(rows, []string{g.ID, g.Site, strings.Join(g.Vantages, " "), g.Enrolled.Format(time.DateOnly), g.Ends.Format(time.DateOnly), state})
	}
	switch {
	case format == "json":
		if all == nil {
			all = []enroll.Agent{}
		}
		return writeJSON(w, all)
	case format == "csv":
		return writeCSV(w, header, rows)
	case len(rows) == 0:
		_, err := fmt.Fprintln(w, "no agent is enrolled: dormant server token makes a token for one")
		return err
	default:
		return writeTable(w, header, rows)
	}
}

func newServerAgentsRevoke(a *app, state *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke AGENT…",
		Short: "end the credential of an agent, and its unused tokens; a running server cuts its connection within seconds",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			authority, err := openAuthority(*state)
			if err != nil {
				return err
			}
			for _, id := range args {
				err := authority.Revoke(id)
				switch {
				case errors.Is(err, enroll.ErrNoAgent) || fleet.CheckName("agent", id) != nil:
					return usageError("%w", err)
				case err != nil:
					return &exitError{exitOutput, err}
				}
				if err := printed(fmt.Fprintln(a.stdout, "revoked", id)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// newServerPermissions prints what a cluster of the user's own must be told.
func newServerPermissions(a *app) *cobra.Command {
	var account, agent, site string
	var vantages []string
	cmd := &cobra.Command{
		Use:   "permissions --agent NAME --site SITE --vantage VANTAGE…",
		Short: "print the accounts of NATS for an agent on your own cluster",
		Long: `With --nats the server and its agents use your own NATS cluster, and who may do
what there is yours to say. This prints the account of the server and that of one
agent for the configuration file of nats-server: add the users. Each agent needs an
account of its own: permissions inside a common account do not keep agents apart,
because JetStream answers to any subject that a request names.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var places []fleet.Place
			for _, v := range vantages {
				places = append(places, fleet.Place{Site: site, Vantage: v})
			}
			text, err := broker.AccountsConfig(account, agent, places)
			if err != nil {
				return usageError("%w", err)
			}
			return printed(io.WriteString(a.stdout, text))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&account, "account", "DORMANT", "`NAME` of the server's account")
	flags.StringVar(&agent, "agent", "", "`NAME` of the agent")
	flags.StringVar(&site, "site", "", "`SITE` that it works at")
	flags.StringSliceVar(&vantages, "vantage", nil, "`VANTAGE` that it scans from (repeatable)")
	for _, name := range []string{"agent", "site", "vantage"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}
