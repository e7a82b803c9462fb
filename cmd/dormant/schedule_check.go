package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dormant/cmd/internal/schedule"
	"dormant/reports/history"
	"dormant/scanner"
)

// checkJob finds faults now that would otherwise come up at night.
func checkJob(ctx context.Context, j *schedule.Job) error {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("schedule: the path of this program: %w", err)}
	}
	j.Program = program
	if err := j.Check(); err != nil {
		return &exitError{exitUsage, err}
	}
	if err := checkScheduled(ctx, j); err != nil {
		return usageError("schedule: the scan's arguments: %w", err)
	}
	return nil
}

// checkScheduled reads the arguments of the scan as the scan will, as far as that
// goes without the network and without its lists.
func checkScheduled(ctx context.Context, j *schedule.Job) error {
	var o scanOptions
	cmd := &cobra.Command{Use: "scan"}
	o.addFlags(cmd)
	newRoot(&app{}).AddCommand(cmd) // which has flags of its own
	if err := cmd.ParseFlags(j.Args); err != nil {
		return flagFault(cmd, err)
	}
	switch {
	case len(cmd.Flags().Args())+len(o.targetFiles) == 0:
		return errors.New("they name no target")
	case slices.Contains(j.Args, "-"):
		return errors.New("- is standard input, and nobody types there")
	case history.HasPassword(o.audit.db):
		return errors.New("--db holds a password, and everybody can read what is installed: leave it out and say passfile=FILE in the URL")
	case o.control.resume != "" || o.dryRun:
		return errors.New("--resume and --dry-run are for once: want a scan that can be repeated; what would be installed, --dry-run before the -- says")
	}
	s := &scan{o: &o}
	for _, check := range []func() error{
		o.check, func() error { return s.checkIdle(cmd.Flags()) }, s.checkFiles,
		func() error { return checkTargets(ctx, &o, cmd.Flags().Args()) },
		func() error { return checkReach(j, cmd.Flag("config").Value.String(), s) },
		func() error {
			_, failOn, err := loadPolicy(o.audit.policy, o.audit.failOn)
			return cmp.Or(err, s.checkFailOn(failOn))
		},
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkTargets reads the targets and exclusions that are no lists. Names are not
// looked up.
func checkTargets(ctx context.Context, o *scanOptions, args []string) error {
	if len(args) == 0 {
		return nil
	}
	ranges, err := scanner.ParseRanges(ctx, scanner.RangeSpec{
		Targets: args, Exclude: o.exclude,
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{netip.IPv6Loopback()}, nil },
	})
	if err != nil || o.yes {
		return err
	}
	return consent(ranges)
}

// checkReach refuses files that the scan will not find or cannot write: it runs in
// another folder, and by a timer in a sandbox (package schedule).
func checkReach(j *schedule.Job, config string, s *scan) error {
	const state = "/var/lib/dormant/"
	below := func(path string, folders ...string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(filepath.Clean(path), f) })
	}
	folders := slices.Concat(namedBy("--registry", s.o.registryDir), namedBy("--rules", s.o.rulesDir), namedBy("--config", config))
	for _, f := range slices.Concat(s.read(), folders, namedBy("--stop-file", s.o.control.stopFile)) {
		switch {
		case !filepath.IsAbs(f.path):
			return fmt.Errorf("%s %s: want the whole path, it will be looked for from another folder", f.flag, f.path)
		case j.Every != "" && below(f.path, "/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"):
			return fmt.Errorf("%s %s: the service sees no home and no temporary folder: want a file elsewhere, such as in /etc/dormant", f.flag, f.path)
		}
	}
	ours, err := s.written()
	if err != nil {
		return err
	}
	if !history.IsURL(s.o.audit.db) {
		ours = slices.Concat(ours, namedBy("--db", s.o.audit.db))
	}
	for _, f := range ours {
		if j.Every != "" && filepath.IsAbs(f.path) && !below(f.path, state, "/dev/") {
			return fmt.Errorf("%s %s: the service can write below %s only", f.flag, f.path, state)
		}
	}
	return nil
}
