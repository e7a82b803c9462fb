//go:build unix

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/reports"
)

// speakers listens on some of the addresses of a /27 on loopback and greets as
// an SSH server does; all other ports of it are closed. The prefix is drawn, so
// that tests on one machine do not meet.
func speakers(t *testing.T) (prefix, ports string) {
	t.Helper()
	a, b := 64+rand.IntN(60), rand.IntN(256)
	for _, last := range []int{1, 2, 7, 12, 19, 30} {
		for _, port := range []int{41947, 45093} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:%d", a, b, last, port))
			if err != nil {
				t.Skipf("loopback addresses beyond 127.0.0.1 cannot be used here: %v", err)
			}
			done := make(chan struct{})
			go func() { // ends when the listener is closed, below
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n")
					_ = c.(*net.TCPConn).CloseWrite()
					_ = c.Close()
				}
			}()
			t.Cleanup(func() { _ = l.Close(); <-done })
		}
	}
	return fmt.Sprintf("127.%d.%d.0/27", a, b), "41947/tcp,45093/tcp,41948/tcp,45094/tcp"
}

// command is the real program, with a folder of the test as its working
// directory, in which its state is, too. The environment is that of the command
// and not that of the tests, which can so run side by side.
func command(dir string, args ...string) *exec.Cmd {
	return settled(exec.Command("dormant", args...), dir) // TestMain has put it into PATH
}

// settled gives a command the folder.
func settled(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	return cmd
}

// start runs the command. What it says on stderr is in the buffer after its end,
// which comes with the end of the test at the latest.
func start(t *testing.T, dir string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := command(dir, args...)
	return cmd, begin(t, cmd, cmd.Start)
}

// begin starts a command by the function.
func begin(t *testing.T, cmd *exec.Cmd, start func() error) (said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	cmd.Stderr = said
	if err := start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has ended early
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return said
}

// begins waits until the scan that has its state in the folder begins to send.
func begins(t *testing.T, dir string) {
	t.Helper()
	for range 1000 {
		if runs, _ := filepath.Glob(filepath.Join(dir, "state", "dormant", "runs", "*", "run.json")); len(runs) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the scan has not begun within ten seconds")
}

// code waits for the end and returns the exit code, -1 after a signal.
func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// rows returns what a CSV output says of each target, named "10.0.0.1:1947" or
// "10.0.0.1:1947/udp"; a target that stands there twice is an error.
func rows(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range all[0] {
		column[name] = i
	}
	found := map[string]string{}
	for _, row := range all[1:] {
		cell := func(name string) string { return row[column[name]] }
		key := cell("ip") + ":" + cell("port")
		if cell("transport") == "udp" {
			key += "/udp"
		}
		if _, twice := found[key]; twice {
			t.Errorf("%s stands in %s twice", key, path)
		}
		found[key] = strings.Join([]string{cell("state"), cell("reason"), cell("service"), cell("verdict")}, " ")
	}
	return found
}

// manifest reads m.json in the folder.
func manifest(t *testing.T, dir string) (m reports.Manifest) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "m.json"))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKilledAtAnyMoment kills the program with SIGKILL at random moments, and
// resumes it: the outputs are those of a run that nobody disturbed.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel() // it waits, most of the time
	dir := t.TempDir()
	prefix, ports := speakers(t)
	args := []string{"scan", prefix, "--ports", ports, "--rate", "25", "--states", "all", "--quiet", "--manifest", filepath.Join(dir, "m.json"), "-o"}
	whole := filepath.Join(dir, "whole.csv")
	undisturbed, said := start(t, dir, append(args, whole, "--rate", "1000")...)
	if got := code(t, undisturbed); got != exitOK {
		t.Fatalf("exit %d: %s", got, said)
	}
	if manifest(t, dir).Run.Scan.Uncounted {
		t.Error("a run that nobody disturbed says that its numbers are lower bounds")
	}
	want := rows(t, whole)
	if len(want) != 128 {
		t.Fatalf("%d rows, want 128", len(want))
	}
	joined := filepath.Join(dir, "joined.csv")
	kills, got := 0, -1
	for args := append(args, joined); got == -1 && kills < 6; args = []string{"scan", "--resume", "last", "--quiet"} {
		var run *exec.Cmd
		run, said = start(t, dir, args...)
		if kills < 5 {
			begins(t, dir) // before, there is nothing to resume
			time.Sleep(time.Duration(rand.Int64N(int64(2200 * time.Millisecond))))
			_ = run.Process.Kill() // it may have ended by itself
		}
		if got = code(t, run); got != -1 {
			break
		}
		kills++
		if _, err := os.Stat(joined); err == nil { // an output under its final name is whole: it was at its end
			if d := cmp.Diff(want, rows(t, joined)); d != "" {
				t.Errorf("killed at its end (-undisturbed +killed):\n%s", d)
			}
			return
		}
	}
	if got != exitOK || kills == 0 {
		t.Fatalf("after %d kills: exit %d: %s", kills, got, said)
	}
	if d := cmp.Diff(want, rows(t, joined)); d != "" {
		t.Errorf("after %d kills (-undisturbed +resumed):\n%s", kills, d)
	}
	if !manifest(t, dir).Run.Scan.Uncounted {
		t.Error("the manifest does not say that what was sent before the kills is not all counted")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "state", "dormant", "runs", "*")); len(left) > 0 {
		t.Errorf("a complete run has left %v", left)
	}
}

// TestEndSavesACheckpoint: Ctrl-C and a terminal that is closed end a run in good
// order.
func TestEndSavesACheckpoint(t *testing.T) {
	for _, by := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()            // it waits, most of the time
			if signal.Ignored(by) { // under nohup, which the program honours: what is caught here is not handed on as ignored
				caught := make(chan os.Signal, 1)
				signal.Notify(caught, by)
				defer signal.Stop(caught)
			}
			endSavesACheckpoint(t, by, by == syscall.SIGHUP)
		})
	}
}

// endSavesACheckpoint ends a run and resumes it, which takes its targets from a
// file, or has them named again.
func endSavesACheckpoint(t *testing.T, by os.Signal, file bool) {
	dir := t.TempDir()
	prefix, ports := speakers(t)
	targets, again := []string{prefix}, []string{prefix}
	if file {
		targets, again = []string{"--targets", filepath.Join(dir, "targets.txt")}, nil
		if err := os.WriteFile(targets[1], []byte(prefix+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out.csv")
	run, said := start(t, dir, append([]string{"scan", "--ports", ports, "--rate", "40", "--no-identify", "-o", out, "--quiet", "--states", "all"}, targets...)...)
	begins(t, dir)
	time.Sleep(1500 * time.Millisecond)
	if err := run.Process.Signal(by); err != nil {
		t.Fatal(err)
	}
	if got := code(t, run); got != exitInterrupted || !strings.Contains(said.String(), "checkpoint saved, continue with: dormant scan --resume s_") || strings.Count(said.String(), "\n") != 1 {
		t.Fatalf("exit %d, said %q; want 130 and how to continue, in one line", got, said)
	}
	if n := len(rows(t, out)); n == 0 || n >= 128 {
		t.Errorf("%d rows after the interrupt, want a part of 128", n)
	}
	_, id, _ := strings.Cut(strings.TrimSpace(said.String()), "--resume ")
	other, said := start(t, dir, "scan", "--resume", "last", "--seed", "1", "--quiet")
	if got := code(t, other); got != exitUsage || !strings.Contains(said.String(), "another plan") || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("another seed: exit %d, said %q; want 2 and one line", got, said)
	}
	run, said = start(t, dir, append([]string{"scan", "--resume", "last", "--quiet"}, again...)...)
	if got := code(t, run); got != exitOK || len(rows(t, out)) != 128 {
		t.Errorf("resumed: exit %d, %d rows, said %q; want 0 and 128", got, len(rows(t, out)), said)
	}
	if b, err := os.ReadFile(out); err != nil || strings.Count(string(b), "1,"+id+",") != 128 {
		t.Errorf("%v; the rows of the resumed run are not all those of %s", err, id)
	}
}

func TestPauseAndContinue(t *testing.T) {
	t.Parallel() // it waits, most of the time
	dir := t.TempDir()
	prefix, ports := speakers(t)
	run, said := start(t, dir, "scan", prefix, "--ports", ports, "--rate", "80", "--no-identify", "--manifest", filepath.Join(dir, "m.json"))
	begins(t, dir)
	paused := time.Now()
	if err := run.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	const pause = 3 * time.Second // alone, the run takes about two
	time.Sleep(pause)
	if err := run.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if got := code(t, run); got != exitOK || time.Since(paused) < pause {
		t.Fatalf("exit %d after %v: %s", got, time.Since(paused), said)
	}
	m := manifest(t, dir)
	if !strings.Contains(strings.Join(m.Run.Scan.Notes, "\n"), "paused once, for 3s") || !strings.Contains(said.String(), "paused") {
		t.Errorf("notes %q, said %q; want that it was paused", m.Run.Scan.Notes, said)
	}
}

func TestEndsBeforeItsTime(t *testing.T) {
	t.Parallel() // it waits, most of the time
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"longest run time", []string{"--max-runtime", "1s"}, "the longest run time of 1s is over"},
		{"stop file", []string{"--stop-file", "STOP"}, "STOP exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			prefix, ports := speakers(t)
			run, said := start(t, dir, append([]string{"scan", prefix, "--ports", ports, "--rate", "10", "--quiet", "-o", "out.csv"}, tt.args...)...)
			time.Sleep(time.Second)
			if err := os.WriteFile(filepath.Join(dir, "STOP"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := code(t, run); got != exitIncomplete || !strings.Contains(said.String(), tt.want) ||
				!strings.Contains(said.String(), "continue with: dormant scan --resume s_") || strings.Count(said.String(), "\n") != 1 {
				t.Errorf("exit %d, said %q; want 3 and one line with %q", got, said, tt.want)
			}
			rows(t, filepath.Join(dir, "out.csv"))
		})
	}
}

// TestResumedRunKeepsItsSettings: the longest run time bounds each part anew,
// until the command line lifts it, and a configuration file does not change what
// has begun.
func TestResumedRunKeepsItsSettings(t *testing.T) {
	t.Parallel() // it waits, most of the time
	dir := t.TempDir()
	prefix, ports := speakers(t)
	config := filepath.Join(dir, "config", "dormant", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("rate: 5000\nports: 475/tcp\noutput: [other.csv]\nmax-runtime: 2h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.csv")
	args := []string{"scan", prefix, "--ports", ports, "--rate", "20", "--no-identify", "--quiet", "--states", "all", "--max-runtime", "2s", "-o", out}
	for part := range 2 {
		run, said := start(t, dir, args...)
		if got := code(t, run); got != exitIncomplete || !strings.Contains(said.String(), "the longest run time of 2s is over") || strings.Count(said.String(), "\n") != 1 {
			t.Fatalf("part %d: exit %d, said %q; want 3 and that its 2s are over", part+1, got, said)
		}
		if n := len(rows(t, out)); n == 0 || n > 60*(part+1) {
			t.Errorf("part %d: %d rows; want some, and not more than 20 a second", part+1, n)
		}
		args = []string{"scan", "--resume", "last", "--quiet"}
	}
	run, said := start(t, dir, append(args, "--max-runtime", "0", "--rate", "1000")...)
	if got := code(t, run); got != exitOK || len(rows(t, out)) != 128 {
		t.Errorf("without a longest run time: exit %d, %d rows, said %q; want 0 and 128", got, len(rows(t, out)), said)
	}
	if _, err := os.Stat(filepath.Join(dir, "other.csv")); err == nil {
		t.Error("a resumed run has written the output of the configuration file")
	}
}

// TestEstimateCountsBothPasses sweeps twice: nothing was missed, and nothing is
// reported twice.
func TestEstimateCountsBothPasses(t *testing.T) {
	t.Parallel() // it waits, most of the time
	dir := t.TempDir()
	prefix, ports := speakers(t)
	out := filepath.Join(dir, "out.csv")
	run, said := start(t, dir, "scan", prefix, "--ports", ports, "--estimate", "--quiet", "--states", "all", "-o", out, "--manifest", filepath.Join(dir, "m.json"),
		"--canary", strings.Replace(prefix, ".0/27", ".1:41947", 1))
	if got := code(t, run); got != exitOK {
		t.Fatalf("exit %d: %s", got, said)
	}
	if n := len(rows(t, out)); n != 128 {
		t.Errorf("%d rows, want 128", n)
	}
	m := manifest(t, dir)
	s := m.Run.Scan
	if s.Estimate == nil || s.Estimate.First != 12 || s.Estimate.Second != 12 || s.Estimate.Both != 12 || s.Estimate.Missed != 0 {
		t.Errorf("estimate %+v, want 12 open in both passes and none missed", s.Estimate)
	}
	if s.Open != 12 || s.Closed != 116 || s.Probes != 256 || s.MostToHost != 8 || m.Run.Identify.Ports != 12 {
		t.Errorf("summary %+v, %d dialogues; want 12 open, 116 closed, 256 probes, 8 to one host, 12 dialogues", s, m.Run.Identify.Ports)
	}
	if len(s.Subnets) != 1 || s.Subnets[0].Targets != 128 || s.Subnets[0].Open != 12 || s.Subnets[0].Answered != 128 {
		t.Errorf("subnets %+v, want one with 128 targets answered", s.Subnets)
	}
	if len(m.Files) != 1 || m.Files[0].Name != "out.csv" || m.Settings.PlanTargets != 128 || len(m.Settings.Canaries) != 1 {
		t.Errorf("manifest %+v: want one file, 128 targets, a canary", m)
	}
}
