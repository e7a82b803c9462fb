package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/cmd/internal/server"
)

// newServerCheck says what a jobs file would do.
func newServerCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "read a jobs file and say what it would do: places, shards, the next times",
		Example: "  dormant server check jobs.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			jobs, err := server.Load(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			d := &desk{a: a}
			var faults []error
			for _, j := range jobs.Jobs {
				if err := d.check(args[0], j); err != nil {
					faults = append(faults, err)
				}
			}
			if len(faults) > 0 {
				return &exitError{exitUsage, errors.Join(faults...)}
			}
			if err := describeJobs(a.stdout, jobs, time.Now()); err != nil {
				return &exitError{exitOutput, err}
			}
			return nil
		},
	}
}

// describeJobs writes what the jobs would do.
func describeJobs(w io.Writer, jobs *server.Jobs, now time.Time) error {
	header := []string{"job", "place", "addresses", "targets", "shards", "shard size", "at least", "when", "next"}
	var rows [][]string
	for _, j := range jobs.Jobs {
		for i := range j.Asks {
			ask := &j.Asks[i]
			targets := ask.Addresses * uint64(len(j.Ports))
			rows = append(rows, []string{j.Name, ask.Place.String(), strconv.FormatUint(ask.Addresses, 10), strconv.FormatUint(targets, 10),
				strconv.Itoa(j.Shards(ask)), strconv.FormatUint(j.ShardSize, 10), atLeast(targets, j), j.When(), nextTimes(j, now)})
		}
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no job: nothing would be done")
		return err
	}
	return writeTable(w, header, rows)
}

// atLeast is how long one agent needs for the first probes of all targets.
func atLeast(targets uint64, j *server.Job) string {
	if j.Rate == 0 {
		return "-"
	}
	if float64(targets) < j.Rate {
		return "<1s"
	}
	return time.Duration(float64(targets) / j.Rate * float64(time.Second)).Round(time.Second).String()
}

// nextTimes are the next three times that the job is due.
func nextTimes(j *server.Job, now time.Time) string {
	var times []string
	for at, last := now, (time.Time{}); len(times) < 3; {
		next := j.Next(at, last)
		if next.IsZero() {
			return "by hand"
		}
		if !j.Blacked(next) {
			times = append(times, next.In(j.Location).Format("Mon 2006-01-02 15:04 MST"))
		}
		if at, last = next, next; at.Sub(now) > 5*366*24*time.Hour {
			break
		}
	}
	return strings.Join(times, ", ")
}
