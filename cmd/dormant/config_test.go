package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStandingConfig(t *testing.T) {
	for _, tt := range []struct {
		name      string
		err       error
		use, note string
	}{
		{"there", nil, "/h/config.yaml", ""},
		{"not there", &fs.PathError{Err: fs.ErrNotExist}, "", ""},
		{"in another user's folder", &fs.PathError{Err: fs.ErrPermission}, "",
			"/h/config.yaml is out of reach for this user: going on without a configuration file"},
		{"disk fault", &fs.PathError{Err: errors.New("input/output error")}, "/h/config.yaml", ""},
	} {
		if use, note := standingConfig("/h/config.yaml", tt.err); use != tt.use || note != tt.note {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, use, note, tt.use, tt.note)
		}
	}
}

func TestValueOfTheEnvironmentIsNamedOnce(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("DORMANT_PORTS", "0")
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"scan", "127.0.0.1"}, strings.NewReader(""), io.Discard, &stderr)
	const want = `dormant: environment DORMANT_PORTS: value "0": want a number `
	if got := stderr.String(); code != exitUsage || !strings.HasPrefix(got, want) {
		t.Errorf("exit %d, %s; want exit 2, %s…", code, got, want)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestReaderGone: silence is for a reader that has gone, and for nothing beside it.
func TestReaderGone(t *testing.T) {
	gone := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"gone", fmt.Errorf("ports: %w", gone), true},
		{"in two ways", errors.Join(gone, fmt.Errorf("table: %w", gone)), true},
		{"and the disk is full", errors.Join(gone, errors.New("no space left on device")), false},
		{"who read another pipe", &fs.PathError{Op: "write", Path: "/run/fifo", Err: syscall.EPIPE}, false},
		{"stdout is a full disk", &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}, false},
		{"a connection", syscall.EPIPE, false},
		{"nothing", nil, false},
	} {
		if got := readerGone(tt.err); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestOutputThatCannotBeWrittenIsExit5(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, args := range []string{
		"version", "completion bash", "completion zsh", "completion fish", "completion powershell", "man", "man scan",
		"ports", "ports 3588", "ports --format json", "ports --format csv", "rules list", "rules show hasp-lm",
		"man --dir /dev/null/man", "--help", "", "scan --help", "runs --help", "completion --help",
	} {
		if got := run(t.Context(), strings.Fields(args), strings.NewReader(""), full{}, io.Discard); got != exitOutput {
			t.Errorf("dormant %s to a full disk: exit %d, want %d", args, got, exitOutput)
		}
	}
}

func TestStateFolderWithoutHome(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("HOME", "")
	want := filepath.Join(me.HomeDir, ".local", "state", "dormant", "runs")
	for _, state := range []string{"", "state", "./state"} { // a relative one is ignored
		t.Setenv("XDG_STATE_HOME", state)
		if got, err := statePath("runs"); got != want || err != nil {
			t.Errorf("XDG_STATE_HOME=%s: statePath = %q, %v; want %q, as the user list says", state, got, err, want)
		}
	}
}

func TestConfigTakesPortsAsAList(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "config.yaml")
	for _, tt := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"list of ports", "ports: [1947/tcp, 3588/udp]\n", exitOK, "ports      1947/tcp\n           3588/udp\n"},
		{"bad port in the list", "ports: [1947/tcp, 0]\n", exitUsage, `config.yaml:1: key "ports": value "1947/tcp,0": port "0": want`},
		{"list for one value", "rate: [5, 6]\n", exitUsage, `config.yaml:1: key "rate": value "5,6": want a whole number`},
		{"empty list", "ports: []\n", exitUsage, `config.yaml:1: key "ports": an empty list; want a value`},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run(t.Context(), []string{"--config", file, "scan", "127.0.0.1", "--dry-run"}, strings.NewReader(""), &out, &out)
		if got := out.String(); code != tt.code || !strings.Contains(got, tt.want) {
			t.Errorf("%s: exit %d, %s; want exit %d with %q", tt.name, code, got, tt.code, tt.want)
		}
	}
}

func TestManualPageHasTheDateOfTheCommit(t *testing.T) {
	at := timeOf([]debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.time", Value: "2026-03-04T05:06:07Z"}})
	if want := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC); !at.Equal(want) {
		t.Errorf("timeOf = %v, want %v", at, want)
	}
	if at := timeOf(nil); !at.IsZero() {
		t.Errorf("timeOf without a commit = %v, want zero", at)
	}
}
