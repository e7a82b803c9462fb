package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dormant/cmd/internal/lab"
	"dormant/scanner/netlab"
)

// serveLab serves the lab's hosts in a namespace until the test ends.
func serveLab(t *testing.T, ns *netlab.NS, prefix string) {
	t.Helper()
	ready := make(chan struct{})
	l, err := lab.New(lab.Config{Prefix: netip.MustParsePrefix(prefix), Elsewhere: true, Ready: func([]lab.Host) { close(ready) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go ns.Do(func() { done <- l.Run(ctx) }) // ends with ctx
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("lab: %v", err)
	}
}

// TestExposure scans license managers on a public address and on a private one,
// in a network without a way out, and follows what outsiders may reach through
// every output, the history and the policy.
func TestExposure(t *testing.T) {
	t.Parallel() // it waits, most of the time
	here, there := netlab.Pair(t, "scan0", "net0")
	here.Addr("scan0", "10.1.0.1/24")
	there.Addr("net0", "10.1.0.2/24")
	for _, prefix := range []string{"11.77.0.0/26", "10.77.0.0/26"} { // the first is public
		there.Local(prefix)
		here.Route(netlab.Route{Dst: prefix, Via: "10.1.0.2"})
		serveLab(t, there, prefix)
	}
	dir := t.TempDir()
	dormant := func(want int, args ...string) string {
		t.Helper()
		cmd := command(dir, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		var err error
		here.Do(func() { err = cmd.Start() })
		if err != nil {
			t.Fatal(err)
		}
		if got := code(t, cmd); got != want {
			t.Fatalf("dormant %s: exit %d, want %d\n%s", strings.Join(args, " "), got, want, &out)
		}
		return out.String()
	}
	scan := []string{"scan", "11.77.0.10", "10.77.0.10", "--ports", "1947", "--yes", "--backend", "connect"}

	out := dormant(exitOK, append(scan, "--vantage", "hq", "-o", "a.csv", "-o", "a.html", "-o", "a.md", "-o", "a.jsonl", "-o", "a.ecs.jsonl")...)
	wants(t, "table", out, "answers on a public address: License manager that outsiders may reach", "Close 1947/tcp and 1947/udp towards outsiders")
	if strings.Contains(out, "10.77.0.10:1947/tcp  answers") {
		t.Errorf("a private address is called public:\n%s", out)
	}
	for _, name := range []string{"a.csv", "a.jsonl"} {
		wants(t, name, readText(t, dir, name), "exposed_public_address", "medium", "outsiders may reach it: it answers on a public address. Close 1947/tcp")
	}
	wants(t, "a.html", readText(t, dir, "a.html"), "License manager that outsiders may reach", "Close 1947/tcp and 1947/udp towards outsiders", "A firewall may keep the Internet from it")
	wants(t, "a.md", readText(t, dir, "a.md"), "2 of 4 open ports need attention: 2 license managers that outsiders may reach", "Close 1947/tcp and 1947/udp towards outsiders")

	// The policy says what is outside, and tolerates one until a day.
	putText(t, dir, "policy.yaml", "version: 1\nvantages: {partner-*: outside}\nwaivers:\n"+
		"  - {address: 11.77.0.10, port: 1947/udp, owner: R. Meyer, reason: until the fair, expires: 2099-12-31}\n")
	out = dormant(exitFindings, append(scan, "--vantage", "partner-7", "--policy", "policy.yaml", "-o", "b.csv")...)
	wants(t, "table", out, "answers from the vantage partner-7, which the policy calls outside", "3 findings must not be there, 3 license managers that outsiders may reach")
	wants(t, "b.csv", readText(t, dir, "b.csv"), "exposed_outside|exposed_public_address", "exposed_outside,", "exposure_waived", "high")

	// Stored runs: by a policy of another day, again, and rendered.
	wants(t, "check", dormant(exitFindings, "policy", "check", "policy.yaml", "last"), "3 of 4 open ports must not be there: 0 against the policy, 3 exposed to outsiders; 1 waived")
	wants(t, "check", dormant(exitFindings, "policy", "check", "policy.yaml", "last~1"), "1 of 4 open ports must not be there: 0 against the policy, 1 exposed to outsiders; 1 waived")
	putText(t, dir, "mild.yaml", "version: 1\nvantages: {partner-7: inside}\nwaivers:\n  - {address: 11.0.0.0/8, owner: R. Meyer, reason: known, expires: 2099-12-31}\n")
	wants(t, "check", dormant(exitOK, "policy", "check", "mild.yaml", "last"), "nothing to object to in 4 open ports; 2 waived")
	dormant(exitOK, "reclassify", "last", "--write")
	var rows []struct {
		IP      string   `json:"ip"`
		Results []string `json:"results"`
		Advice  string   `json:"advice"`
	}
	body, _ := command(dir, "policy", "check", "last", "--format", "json").Output() // exits 1, of which the line above told
	if err := json.Unmarshal(body, &rows); err != nil || len(rows) != 4 {
		t.Fatalf("policy check --format json: %d rows, %v\n%s", len(rows), err, body)
	}
	dormant(exitOK, "report", "last", "--policy", "mild.yaml", "-o", "c.csv", "--quiet")
	if s := readText(t, dir, "c.csv"); strings.Contains(s, "exposed_") || !strings.Contains(s, "exposure_waived") {
		t.Errorf("a policy of another day left the marks of the first:\n%s", s)
	}
}

func wants(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(got), " ")
	for _, p := range parts {
		if !strings.Contains(flat, p) {
			t.Errorf("%s: want %q in\n%s", what, p, got)
		}
	}
}

func readText(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func putText(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
