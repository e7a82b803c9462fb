package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dormant/cmd/internal/lab"
)

// newLab plays a small network on loopback until it is interrupted.
func newLab(a *app) *cobra.Command {
	var prefix, format, ready string
	var everywhere bool
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "an emulated network on loopback to try everything on",
		Long: `lab plays a small network on loopback: license managers, dev servers, a database,
an open shell (text only, nothing is executed), a tarpit, boxes in the middle and
machines where everything is closed. It needs no root, except for 475/tcp, sends
nothing by itself, and can be reached from this machine only. It runs in the
foreground until Ctrl-C; scan it from a second terminal.`,
		Example: `  dormant lab
  dormant lab --prefix 127.10.0.0/24 --format json
  dormant lab --ready-file /tmp/lab.ready &`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := netip.ParsePrefix(prefix)
			if err != nil {
				return usageError("--prefix %q: want a network inside 127.0.0.0/8, like %s", prefix, lab.DefaultPrefix)
			}
			return runLab(cmd.Context(), a, lab.Config{Prefix: p, Everywhere: everywhere, Log: a.log}, format, ready)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", lab.DefaultPrefix, "`NETWORK` inside 127.0.0.0/8 for the hosts, /26 or wider")
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the list of hosts: table, json or csv")
	cmd.Flags().BoolVar(&everywhere, "everywhere", false, "add a box that accepts connections on every port; takes 40,001 descriptors and 120 MB")
	cmd.Flags().StringVar(&ready, "ready-file", "", "write `FILE` when everything listens, remove it at the end: for scripts that wait")
	return cmd
}

// runLab serves until ctx ends, which is its normal end.
func runLab(ctx context.Context, a *app, cfg lab.Config, format, ready string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error // set by Ready, which Run calls before it returns
	cfg.Ready = func(hosts []lab.Host) {
		failed = announce(a, cfg.Prefix, hosts, format, ready)
		if failed != nil {
			stop()
		}
	}
	l, err := lab.New(cfg)
	if err != nil {
		return usageError("--prefix: %w", err)
	}
	if ready != "" {
		_ = os.Remove(ready)                    // of an earlier lab that was killed
		defer func() { _ = os.Remove(ready) }() // it may never have been written
	}
	if err := l.Run(ctx); err != nil {
		return &exitError{exitPrivilege, err}
	}
	return failed
}

// announce prints the hosts and tells waiting scripts that all listen.
func announce(a *app, prefix netip.Prefix, hosts []lab.Host, format, ready string) error {
	err := printHosts(a.stdout, hosts, format)
	if err == nil && ready != "" { // whole or not at all: somebody waits for it
		part := ready + ".part"
		if err = os.WriteFile(part, []byte(prefix.String()+"\n"), 0o644); err == nil {
			err = os.Rename(part, ready)
		}
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("lab: %w", err)}
	}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "\nlistening; try in a second terminal:\n  dormant scan %s -o audit.csv\nCtrl-C ends it.\n",
			netip.PrefixFrom(prefix.Addr(), 26))
	}
	return nil
}

func printHosts(w io.Writer, hosts []lab.Host, format string) error {
	switch format {
	case "json":
		return writeJSON(w, hosts)
	case "csv":
		return writeCSV(w, []string{"ip", "host", "port", "plays", "verdict", "reason", "version", "missing"}, hostRows(hosts))
	default: // table, the only other that the flag takes
		var rows [][]string
		for _, r := range joinPorts(hostRows(hosts)) {
			expect := r[4]
			if r[5] != "" {
				expect += " (" + r[5] + ")"
			}
			if r[7] != "" {
				expect = "not served: " + r[7]
			}
			rows = append(rows, []string{r[0], r[1], r[2], r[3], expect})
		}
		return writeTable(w, []string{"address", "host", "port", "plays", "expect"}, rows)
	}
}

// hostRows is one row a service, and one for a host without any.
func hostRows(hosts []lab.Host) [][]string {
	var rows [][]string
	for _, h := range hosts {
		if len(h.Services) == 0 {
			rows = append(rows, []string{h.Addr.String(), h.Name, "", "", "closed", "", "", ""})
		}
		for _, s := range h.Services {
			rows = append(rows, []string{h.Addr.String(), h.Name, s.Port.String(), s.Plays, s.Verdict.String(), s.Reason, s.Version, s.Missing})
		}
	}
	return rows
}

// joinPorts makes one row of those of a host that differ in the port alone, for
// people: boxes in the middle do the same everywhere.
func joinPorts(rows [][]string) [][]string {
	const port = 2 // its column
	var joined [][]string
	for _, r := range rows {
		if n := len(joined); n > 0 {
			last := slices.Clone(joined[n-1])
			before := last[port]
			if last[port] = r[port]; slices.Equal(last, r) {
				joined[n-1][port] = before + " " + r[port]
				continue
			}
		}
		joined = append(joined, r)
	}
	for _, r := range joined {
		if ports := strings.Fields(r[port]); len(ports) > 1 {
			r[port] = strings.Join(ports, "\n") // the table sets them below each other
		}
	}
	return joined
}
