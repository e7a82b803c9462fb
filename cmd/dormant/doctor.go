package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"dormant/cmd/internal/doctor"
	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/connect"
)

// newDoctor says what works on this host and what to do about the rest.
func newDoctor(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor [TARGET…]",
		Short: "privileges, interfaces, routes, local firewall: can a scan run here?",
		Long: `doctor looks at this host and says what works, what does not, and what to do
about it. It is offline: nothing is sent but one connect to a closed port of
127.0.0.1. With a TARGET (all forms of scan but host names) it says how the
target is reached.

Exit code 0 means that a scan can run, if only by the connect backend; 4 that
none can, or that its results could not be believed.`,
		Example: `  dormant doctor
  dormant doctor 10.1.0.0/16 fd00:1::/120
  dormant doctor --format json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			groups, err := targetGroups(cmd.Context(), args)
			if err != nil {
				return err
			}
			reg, err := registry.Default()
			if err != nil {
				return err
			}
			q := doctor.Question{
				Groups: groups, Backend: autoBackend(groups), State: ".",
				NeverScan: neverScanFile, Exclusions: readExclusions(cmd.Context()), Made: commitTime(),
			}
			for _, e := range reg.Entries() {
				q.Ports = append(q.Ports, e.Number)
			}
			if path, err := statePath("history.db"); err == nil {
				q.State = filepath.Dir(path)
			}
			return diagnose(a, doctor.Examine(doctor.Gather(cmd.Context(), q)), format)
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json"), "format", "form of the output: table or json")
	return cmd
}

// diagnose prints the checks and gives the exit code.
func diagnose(a *app, checks []doctor.Check, format string) error {
	var err error
	if format == "json" {
		err = writeJSON(a.stdout, checks)
	} else {
		err = writeChecks(a.stdout, checks)
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("doctor: %w", err)}
	}
	if doctor.CanScan(checks) {
		return nil
	}
	var failed []string
	for _, c := range checks {
		if c.Status == doctor.Fail {
			failed = append(failed, c.Name)
		}
	}
	return &exitError{exitPrivilege, fmt.Errorf("doctor: no scan can run here: %s", strings.Join(failed, ", "))}
}

func writeChecks(w io.Writer, checks []doctor.Check) error {
	lead := 0
	for _, c := range checks {
		lead = max(lead, len(c.Name))
	}
	for _, c := range checks {
		status := fmt.Sprintf("%-4s", c.Status)
		if colored(w) {
			status = color(c.Status).Sprint(status)
		}
		if _, err := fmt.Fprintf(w, "%s  %-*s  %s\n", status, lead, c.Name, c.Detail); err != nil {
			return err
		}
		if c.Advice == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "      %-*s  -> %s\n", lead, "", c.Advice); err != nil {
			return err
		}
	}
	return nil
}

func color(s doctor.Status) text.Color {
	switch s {
	case doctor.OK:
		return text.FgGreen
	case doctor.Warn:
		return text.FgYellow
	case doctor.Fail:
		return text.FgRed
	default: // Skip
		return text.Faint
	}
}

// targetGroups reads each argument as scan would, without looking up names.
func targetGroups(ctx context.Context, args []string) ([]doctor.Group, error) {
	var groups []doctor.Group
	for _, arg := range args {
		r, err := scanner.ParseRanges(ctx, scanner.RangeSpec{Targets: []string{arg}})
		if err != nil {
			return nil, usageError("%w", err)
		}
		groups = append(groups, doctor.Group{Text: arg, Prefixes: r.Prefixes(), Zoned: r.Zoned()})
	}
	return groups, nil
}

// autoBackend is what scan would take for these targets.
func autoBackend(groups []doctor.Group) doctor.Backend {
	var prefixes []netip.Prefix
	for _, g := range groups {
		prefixes = append(prefixes, g.Prefixes...)
		for _, addr := range g.Zoned {
			prefixes = append(prefixes, netip.PrefixFrom(addr.WithZone(""), addr.BitLen()))
		}
	}
	kind, note, err := chooseBackend(backends(), "auto", prefixes)
	if err != nil {
		return doctor.Backend{Err: err}
	}
	b, err := connect.New(connect.Config{})
	if err != nil {
		return doctor.Backend{Err: err}
	}
	return doctor.Backend{Name: kind.name, Note: note, InFlight: b.InFlight()}
}

// readExclusions checks a list as scan would, and counts what it takes from
// the unicast addresses of IPv4. Names count as nothing: this command is offline.
func readExclusions(ctx context.Context) func(name string, r io.Reader) (uint64, error) {
	const unicast = (224 - 1) << 24 // 1.0.0.0 to 223.255.255.255
	return func(name string, r io.Reader) (uint64, error) {
		ranges, err := scanner.ParseRanges(ctx, scanner.RangeSpec{
			Targets:      []string{"1.0.0.0-223.255.255.255", "::1"},
			ExcludeLists: []scanner.List{{Name: name, Reader: r}},
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.IPv6Unspecified().Next().Next()}, nil // ::2, which is nobody's
			},
		})
		if err != nil {
			return 0, err
		}
		return unicast - ranges.IPv4Count(), nil
	}
}
