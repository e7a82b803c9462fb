//go:build linux

package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOnlyLoopback builds the command and asks, inside, which interfaces there
// are and whether loopback works.
func TestOnlyLoopback(t *testing.T) {
	if os.Getenv("DORMANT_ASK") != "" {
		answer(t)
		return
	}
	cmd := exec.Command(build(t), os.Args[0], "-test.run=^TestOnlyLoopback$", "-test.v")
	cmd.Env = append(os.Environ(), "DORMANT_ASK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	if code, _ := run(nil); code != 2 {
		t.Errorf("run() without a command = %d, want 2", code)
	}
}

// TestEnds: it ends as its command does, and what it is told the command hears.
func TestEnds(t *testing.T) {
	bin := build(t)
	for _, tt := range []struct {
		name, script string
		tell         os.Signal
		want         int
	}{
		{name: "well", script: "true"},
		{name: "with a code", script: "exit 3", want: 3},
		{name: "by a signal", script: "kill -SEGV $$", want: 128 + int(syscall.SIGSEGV)},
		{name: "told to end", script: "trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.05; done", tell: syscall.SIGTERM, want: 7},
		{name: "interrupted", script: "trap 'echo cleaned; exit 8' INT; echo ready; while :; do sleep 0.05; done", tell: os.Interrupt, want: 8},
		{name: "not there", want: 126},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(bin, "sh", "-c", tt.script)
			if tt.script == "" {
				cmd = exec.Command(bin, filepath.Join(t.TempDir(), "nothing"))
			}
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			said := bufio.NewScanner(out)
			if tt.tell != nil {
				if said.Scan(); said.Text() != "ready" {
					t.Fatalf("it said %q, want ready", said.Text())
				}
				if err := cmd.Process.Signal(tt.tell); err != nil {
					t.Fatal(err)
				}
				if said.Scan(); said.Text() != "cleaned" {
					t.Errorf("told to end it said %q, want cleaned", said.Text())
				}
			}
			_ = cmd.Wait() // its code is in the state
			if got := cmd.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

// build builds the command, and skips where it can do nothing.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "isolate")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.Command(bin, "true").CombinedOutput()
	if err != nil && strings.Contains(string(out), "no namespace here") && os.Getenv("DORMANT_REQUIRE_NETNS") == "" {
		t.Skipf("namespaces are forbidden here: %s", out)
	}
	return bin
}

func answer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("loopback: %v", err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("loopback: %v", err)
	}
	c.Close()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp != 0 && i.Name != "lo" {
			t.Errorf("interface %s is up inside", i.Name)
		}
	}
}
