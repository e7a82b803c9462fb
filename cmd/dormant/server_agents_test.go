package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
)

// call runs one of the commands of agents as a user would.
func call(t *testing.T, newCommand func(*app) *cobra.Command, stdin string, args ...string) (out string, err error) {
	t.Helper()
	var stdout bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: t.Output(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	cmd := newCommand(a)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), err
}

// exitOf is the code that the program would end with.
func exitOf(err error) int {
	e, ok := err.(*exitError)
	switch {
	case err == nil:
		return exitOK
	case ok:
		return e.code
	default:
		return exitUsage
	}
}

// TestAgentsBesideARunningServer: token, enroll, list, revoke, each a command of
// its own beside a running broker.
func TestAgentsBesideARunningServer(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	authority, err := openAuthority(state)
	if err != nil {
		t.Fatal(err)
	}
	tls, err := authority.ServerTLS([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Dir: filepath.Join(state, "broker"), Listen: "127.0.0.1:0", TLS: tls, Gate: authority, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() { close(ready) }) }() // ends with ctx, below
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	own, err := b.Dial(ctx, broker.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- authority.Serve(serving, own, log) }() // ends with serving
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	if err := authority.Announce([]string{b.Addr().String()}); err != nil {
		t.Fatal(err)
	}

	token, err := call(t, newServerToken, "", "--state", state, "--agent", "hq-1", "--site", "hq", "--vantage", "lan,dmz")
	if err != nil {
		t.Fatal(err)
	}
	credential := filepath.Join(dir, "credential")
	out, err := call(t, newAgentEnroll, token, "-", "--credential", credential)
	if err != nil || !strings.HasPrefix(out, "enrolled as hq-1 at hq (lan, dmz) until 20") {
		t.Fatalf("enroll: %q, %v", out, err)
	}
	if _, err := call(t, newAgentEnroll, "", strings.TrimSpace(token), "--credential", filepath.Join(dir, "second")); exitOf(err) != exitUsage {
		t.Errorf("the token for a second time: %v (exit %d)", err, exitOf(err))
	}
	c, err := enroll.Load(credential)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	o := c.Options()
	o.Log, o.Closed = log, func(err error) { closed <- err }
	conn, err := broker.Dial(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if out, err := call(t, newServerAgents, "", "list", "--state", state, "--format", "csv"); err != nil || !strings.Contains(out, "hq-1,hq,lan dmz,20") {
		t.Errorf("list: %q, %v", out, err)
	}
	if out, err := call(t, newServerAgents, "", "revoke", "hq-1", "--state", state); err != nil || out != "revoked hq-1\n" {
		t.Errorf("revoke: %q, %v", out, err)
	}
	select {
	case err := <-closed:
		if !broker.Refused(err) {
			t.Errorf("closed with %v: want a refusal", err)
		}
	case <-ctx.Done():
		t.Error("the connection of a revoked agent is not closed")
	}
	if out, err := call(t, newServerAgents, "", "list", "--state", state, "--format", "json"); err != nil || !strings.Contains(out, `"revoked": "20`) {
		t.Errorf("list: %q, %v", out, err)
	}
}

func TestAgentCommandsRefuse(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	for _, tt := range []struct {
		name string
		cmd  func(*app) *cobra.Command
		args []string
		want string
		code int
	}{
		{"a site with a dot", newServerToken, []string{"--agent", "a", "--site", "h.q", "--vantage", "lan"}, `site "h.q": want`, exitUsage},
		{"no agent", newServerToken, []string{"--site", "hq", "--vantage", "lan"}, "agent", exitUsage},
		{"a year", newServerToken, []string{"--agent", "a", "--site", "hq", "--vantage", "lan", "--expires", "8760h"}, "want at most 720h", exitUsage},
		{"a server without port", newServerToken, []string{"--agent", "a", "--site", "hq", "--vantage", "lan", "--server", "host"}, `server "host": want HOST:PORT`, exitUsage},
		{"revoke nobody", newServerAgents, []string{"revoke", "ghost"}, "no such agent", exitUsage},
		{"revoke a path", newServerAgents, []string{"revoke", "../x"}, "want a to z", exitUsage},
		{"no token", newAgentEnroll, []string{"hello"}, "want a token", exitUsage},
		{"a cut token", newAgentEnroll, []string{"dormant-token-1-AAAA"}, "cut or mistyped", exitUsage},
		{"an account with a brace", newServerPermissions, []string{"--agent", "a", "--site", "hq", "--vantage", "lan", "--account", "x}"}, "account", exitUsage},
	} {
		args := tt.args
		switch fmtName := tt.cmd(&app{}).Name(); fmtName {
		case "token", "agents":
			args = append(args, "--state", state)
		case "enroll":
			args = append(args, "--credential", filepath.Join(state, "credential"))
		}
		_, err := call(t, tt.cmd, "", args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || exitOf(err) != tt.code {
			t.Errorf("%s: %v (exit %d); want one line with %q and exit %d", tt.name, err, exitOf(err), tt.want, tt.code)
		}
	}
}

func TestServerPermissions(t *testing.T) {
	out, err := call(t, newServerPermissions, "", "--agent", "hq-1", "--site", "hq", "--vantage", "lan")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DORMANT_hq-1: {", `"` + fleet.Place{Site: "hq", Vantage: "lan"}.ResultSubject("hq-1", "*") + `"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
