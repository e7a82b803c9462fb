package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/server"
	"dormant/reports"
)

// askOptions are the flags of commands that speak with a running server.
type askOptions struct {
	state string
	bus   busOptions
}

func (o *askOptions) addFlags(cmd *cobra.Command) {
	addStateFlag(cmd.Flags(), &o.state)
	o.bus.addFlags(cmd.Flags())
}

// with calls fn with a connection to the running server.
func (o *askOptions) with(ctx context.Context, a *app, fn func(server.Operator) error) error {
	options := o.bus.dial(a, "dormant operator")
	dial := broker.Dial
	if len(o.bus.urls) == 0 {
		dir, err := serverState(o.state)
		if err != nil {
			return &exitError{exitOutput, err}
		}
		dial = func(ctx context.Context, options broker.Options) (*nats.Conn, error) {
			return broker.DialLocal(ctx, dir, options)
		}
	}
	conn, err := dial(ctx, options)
	if err == nil {
		defer conn.Close()
		err = fn(server.Operator{Conn: conn})
	}
	if _, ours := errors.AsType[*exitError](err); ours || err == nil {
		return err
	}
	return &exitError{exitUsage, err}
}

// show asks the running server how things are and has write put it on standard
// output.
func (o *askOptions) show(ctx context.Context, a *app, write func(*fleet.Status) error) error {
	return o.with(ctx, a, func(s server.Operator) error {
		st, err := s.Status(ctx)
		if err != nil {
			return err
		}
		if err := write(&st); err != nil {
			return &exitError{exitOutput, fmt.Errorf("standard output: %w", err)}
		}
		return nil
	})
}

// newServerStart starts a job now.
func newServerStart(a *app) *cobra.Command {
	var o askOptions
	var wait bool
	cmd := &cobra.Command{
		Use:   "start JOB",
		Short: "have the running server start a job now",
		Long: `Starts a run of the job at each of its places. With --wait it ends when they are
over, prints them, and the exit code tells: 0 complete, 3 incomplete.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), a, func(s server.Operator) error {
				if err := s.Start(cmd.Context(), args[0]); err != nil {
					return err
				}
				if wait {
					return awaitJob(cmd.Context(), a, s, args[0])
				}
				return printed(fmt.Fprintln(a.stdout, "started", args[0]))
			})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the runs are over, and print them")
	return cmd
}

// newServerRequeue has dead shards done again.
func newServerRequeue(a *app) *cobra.Command {
	var o askOptions
	cmd := &cobra.Command{
		Use:   "requeue [RUN]",
		Short: "have dead shards done again: those of a run, or all",
		Long: `A shard that was given out too often is dead: dormant server dead lists them. Those
of a run that is not over are given out again in it; those of one that is become a
new run that asks only them, and has its id in the names of its outputs.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), a, func(s server.Operator) error {
				n, err := s.Requeue(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return err
				}
				said := "1 dead shard is given out again"
				if n > 1 {
					said = fmt.Sprintf("%d dead shards are given out again", n)
				}
				return printed(fmt.Fprintln(a.stdout, said))
			})
		},
	}
	o.addFlags(cmd)
	return cmd
}

// newServerStatus shows agents, jobs and runs.
func newServerStatus(a *app) *cobra.Command {
	var o askOptions
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "agents, jobs and runs of the running server, and what it cannot do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.show(cmd.Context(), a, func(st *fleet.Status) error {
				if format == "json" {
					return writeJSON(a.stdout, st)
				}
				return writeStatus(a.stdout, st)
			})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().Var(oneOf(&format, "table", "json"), "format", "form of the output: table or json")
	return cmd
}

// newServerDead lists dead shards.
func newServerDead(a *app) *cobra.Command {
	var o askOptions
	var format string
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "the shards that nobody could do, and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.show(cmd.Context(), a, func(st *fleet.Status) error {
				if format == "json" {
					return writeJSON(a.stdout, st.Dead)
				}
				return writeDead(a.stdout, st.Dead, format)
			})
		},
	}
	o.addFlags(cmd)
	addListFormat(cmd, &format)
	return cmd
}

func writeDead(w io.Writer, dead []fleet.DeadShard, format string) error {
	header := []string{"run", "shard", "job", "place", "tries", "since", "subnets", "why"}
	rows := [][]string{}
	for _, d := range dead {
		subnets := make([]string, len(d.Shard.Prefixes))
		for i, p := range d.Shard.Prefixes {
			subnets[i] = p.String()
		}
		rows = append(rows, []string{d.Shard.Run, fmt.Sprintf("%d/%d", d.Shard.Number, d.Shard.Of), d.Shard.Job, d.Shard.Place.String(),
			strconv.Itoa(d.Tries), d.At.Format(time.RFC3339), strings.Join(subnets, " "), reports.Line(d.Why)})
	}
	switch {
	case format == "csv":
		for _, row := range rows {
			for i := range row {
				row[i] = reports.Cell(row[i])
			}
		}
		return writeCSV(w, header, rows)
	case len(rows) == 0:
		_, err := fmt.Fprintln(w, "no shard is dead")
		return err
	default:
		return writeTable(w, header, rows)
	}
}

// writeStatus writes what a person wants to know first.
func writeStatus(w io.Writer, st *fleet.Status) error {
	var runs [][]string
	for i := range st.Runs {
		runs = append(runs, runRow(&st.Runs[i]))
	}
	for _, t := range []struct {
		header []string
		rows   [][]string
		none   string
	}{
		{[]string{"agent", "site", "vantages", "state", "last seen", "version", "at"}, agentRows(st), "no agent is known"},
		{[]string{"job", "when", "places", "last run", "next", "state"}, jobRows(st), "no job"},
		{runHeader(), runs, "no run yet"},
	} {
		var err error
		if len(t.rows) == 0 {
			_, err = fmt.Fprintln(w, t.none)
		} else {
			err = writeTable(w, t.header, t.rows)
		}
		if err != nil {
			return err
		}
	}
	for _, f := range st.Faults {
		if _, err := fmt.Fprintln(w, "fault:", reports.Line(f)); err != nil {
			return err
		}
	}
	return nil
}

// agentRows are the agents, and what each is at.
func agentRows(st *fleet.Status) (rows [][]string) {
	for _, g := range st.Agents {
		state := "away"
		switch {
		case g.Revoked:
			state = "revoked"
		case g.Online:
			state = "online"
		}
		at := reports.Line(g.Last.Fault)
		if at == "" && g.Last.Run != "" {
			at = fmt.Sprintf("%s shard %d", reports.Line(g.Last.Run), g.Last.Shard)
		}
		if g.EndsSoon(st.Now) {
			at = strings.TrimPrefix(at+"; its certificate was not renewed and ends "+moment(g.Ends), "; ")
		}
		rows = append(rows, []string{g.ID, g.Site, strings.Join(g.Vantages, " "), state, moment(g.LastSeen), reports.Line(g.Last.Program), at})
	}
	return rows
}

// jobRows are the jobs, and when they come.
func jobRows(st *fleet.Status) (rows [][]string) {
	for _, j := range st.Jobs {
		places := make([]string, len(j.Places))
		for i, p := range j.Places {
			places[i] = p.String()
		}
		state := j.Note
		if j.Running {
			state = "running"
		}
		rows = append(rows, []string{j.Name, j.Cron, strings.Join(places, " "), moment(j.LastRun), moment(j.Next), state})
	}
	return rows
}

// moment is a time for people, with the zone of this machine; "-" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.RFC3339)
}
