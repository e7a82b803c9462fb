package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/cmd/internal/schedule"
	"dormant/reports"
)

// The folders of the system that schedules are installed in.
const (
	systemdDir = "/etc/systemd/system"
	cronDir    = "/etc/cron.d"
)

// scheduleDirs are where files go; a folder of the user's own is only written
// to, and systemd is not told.
type scheduleDirs struct{ dir string }

func (d scheduleDirs) of(cron bool) string {
	switch {
	case d.dir != "":
		return d.dir
	case cron:
		return cronDir
	default:
		return systemdDir
	}
}

// newSchedule lets scans come back by themselves.
func newSchedule(a *app) *cobra.Command {
	var dirs scheduleDirs
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "scans that come back by themselves: a systemd timer or a cron line",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&dirs.dir, "dir", "", "use this `FOLDER` instead of "+systemdDir+" or "+cronDir+", and tell no daemon")
	cmd.AddCommand(newScheduleInstall(a, &dirs), newScheduleRemove(a, &dirs), newScheduleList(a, &dirs), newScheduleDue(a))
	return cmd
}

func newScheduleInstall(a *app, dirs *scheduleDirs) *cobra.Command {
	var j schedule.Job
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "install --every INTERVAL|--cron EXPRESSION [flags] -- SCAN ARGUMENTS…",
		Short: "write a hardened systemd timer and service, or a cron line",
		Example: `  dormant schedule install --every weekly --blackout 2026-12-24..2027-01-02 -- 10.1.0.0/16 -o /var/lib/dormant/audit.csv
  dormant schedule install --cron "30 2 * * mon-fri" --dry-run -- 10.1.0.0/16 --window 02:00-05:00`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Args = args
			if err := checkJob(cmd.Context(), &j); err != nil {
				return err
			}
			if dryRun {
				return printFiles(a.stdout, dirs.of(j.Cron != ""), j.Files())
			}
			return faultOf("schedule", installJob(cmd.Context(), a, &j, *dirs))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&j.Name, "name", "scan", "`NAME` of the schedule")
	flags.StringVar(&j.Every, "every", "", "hourly, daily, weekly, monthly, or an `INTERVAL` such as 6h or 2d: a systemd timer")
	flags.StringVar(&j.Cron, "cron", "", "five fields of a cron `EXPRESSION`: a cron line")
	flags.StringArrayVar(&j.Blackouts, "blackout", nil, "no scan on `DAYS`: sat, 2026-12-24, or 2026-12-24..2027-01-02 (repeatable)")
	flags.StringVar(&j.User, "user", "", "run as `USER` (default: one that systemd makes for the run; root for cron)")
	flags.BoolVar(&dryRun, "dry-run", false, "print what would be written, write nothing")
	return cmd
}

func printFiles(w io.Writer, dir string, files []schedule.File) error {
	for _, f := range files {
		if _, err := fmt.Fprintf(w, "# %s\n%s\n", filepath.Join(dir, f.Name), f.Text); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	return nil
}

func installJob(ctx context.Context, a *app, j *schedule.Job, dirs scheduleDirs) error {
	dir := dirs.of(j.Cron != "")
	for _, f := range j.Files() {
		path := filepath.Join(dir, f.Name)
		if text, err := os.ReadFile(path); err == nil {
			if _, ours := schedule.NameOf(string(text)); !ours {
				return fmt.Errorf("%s is there and not of dormant: remove it, or give another --name", path)
			}
		}
		err := reports.WriteFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, f.Text)
			return err
		})
		if err == nil {
			err = os.Chmod(path, 0o644)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.stdout, "wrote", path); err != nil {
			return err
		}
	}
	if dirs.dir != "" || j.Cron != "" {
		return nil // cron looks by itself
	}
	return errors.Join(systemctl(ctx, "daemon-reload"), systemctl(ctx, "enable", "--now", "dormant-"+j.Name+".timer"))
}

// systemctl runs one command, bounded in time.
func systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, reports.Line(strings.TrimSpace(string(out))))
	}
	return nil
}

// scheduled is a file of a schedule.
type scheduled struct{ Name, Path, When string }

// findInstalled reads the folders for files of schedules, sorted by path.
func findInstalled(dirs scheduleDirs) ([]scheduled, error) {
	var all []scheduled
	folders := []string{dirs.of(false), dirs.of(true)}
	for _, dir := range slices.Compact(folders) {
		paths, err := filepath.Glob(filepath.Join(dir, "dormant-*"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			if name, ours := schedule.NameOf(string(text)); ours {
				all = append(all, scheduled{name, path, whenOf(string(text))})
			}
		}
	}
	return all, nil
}

// whenOf is the line of a timer or a cron file that says when, "" of a service.
func whenOf(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "OnCalendar=") || strings.HasPrefix(line, "OnUnitActiveSec=") {
			return line
		}
		if fields := strings.Fields(line); len(fields) > 6 && !strings.HasPrefix(line, "#") && !strings.Contains(fields[0], "=") {
			return strings.Join(fields[:5], " ")
		}
	}
	return ""
}

func newScheduleList(a *app, dirs *scheduleDirs) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the installed schedules",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := findInstalled(*dirs)
			if err == nil {
				err = writeInstalled(a.stdout, all, format)
			}
			return faultOf("schedule", err)
		},
	}
	cmd.Flags().Var(oneOf(&format, "table", "json", "csv"), "format", "form of the output: table, json or csv")
	return cmd
}

func writeInstalled(w io.Writer, all []scheduled, format string) error {
	header := []string{"name", "when", "file"}
	rows, objects := [][]string{}, []map[string]string{}
	for _, f := range all {
		rows = append(rows, []string{f.Name, f.When, f.Path})
		objects = append(objects, map[string]string{"name": f.Name, "when": f.When, "file": f.Path})
	}
	switch {
	case format == "json":
		return writeJSON(w, objects)
	case format == "csv":
		return writeCSV(w, header, rows)
	case len(rows) == 0:
		_, err := fmt.Fprintln(w, "no schedule is installed")
		return err
	default:
		return writeTable(w, header, rows)
	}
}

func newScheduleRemove(a *app, dirs *scheduleDirs) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "remove an installed schedule; its runs stay in the history",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := findInstalled(*dirs)
			if err != nil {
				return faultOf("schedule", err)
			}
			all = slices.DeleteFunc(all, func(f scheduled) bool { return f.Name != args[0] })
			if len(all) == 0 {
				return usageError("schedule %q is not installed: dormant schedule list shows those that are", args[0])
			}
			return faultOf("schedule", removeFiles(cmd.Context(), a, all, *dirs))
		},
	}
}

func removeFiles(ctx context.Context, a *app, all []scheduled, dirs scheduleDirs) error {
	var errs []error
	units := false
	for _, f := range all {
		if strings.HasSuffix(f.Path, ".timer") && dirs.dir == "" {
			errs = append(errs, systemctl(ctx, "disable", "--now", filepath.Base(f.Path)))
			units = true
		}
		if err := os.Remove(f.Path); err != nil {
			errs = append(errs, err)
			continue
		}
		_, err := fmt.Fprintln(a.stdout, "removed", f.Path)
		errs = append(errs, err)
	}
	if units {
		errs = append(errs, systemctl(ctx, "daemon-reload"))
	}
	return errors.Join(errs...)
}

func newScheduleDue(a *app) *cobra.Command {
	var blackouts []string
	cmd := &cobra.Command{
		Use:   "due",
		Short: "exit 1 while a blackout lasts: the condition of an installed schedule",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, s := range blackouts {
				b, err := schedule.ParseBlackout(s)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				if b.Covers(time.Now()) {
					a.log.Info("no scan is due", "blackout", s)
					return &exitError{exitFindings, nil}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&blackouts, "blackout", nil, "no scan on `DAYS` (repeatable)")
	return cmd
}
