package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"dormant/cmd/internal/server"
)

// parseUnit reads a unit file: the values of each key, in order, by section.
func parseUnit(t *testing.T, text string) map[string]map[string][]string {
	t.Helper()
	all, section := map[string]map[string][]string{}, ""
	for i, line := range strings.Split(text, "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			all[section] = map[string][]string{}
		case !ok || section == "" || strings.ContainsAny(key, " \t"):
			t.Errorf("line %d: %q is no assignment in a section", i+1, line)
		default:
			all[section][key] = append(all[section][key], value)
		}
	}
	return all
}

func TestUnits(t *testing.T) {
	for _, u := range units() {
		all := parseUnit(t, u.Text())
		service := all["Service"]
		for key, values := range service {
			if len(values) != 1 {
				t.Errorf("%s: %s stands %d times", u.name, key, len(values))
			}
		}
		for key, want := range map[string]string{
			"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
			"ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes", "MemoryDenyWriteExecute": "yes",
			"SystemCallFilter": "@system-service", "StateDirectoryMode": "0700", "User": "_dormant-" + u.name, "UMask": "0077",
		} {
			if got := service[key]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s = %v; want %s", u.name, key, got, want)
			}
		}
		// What would give away the sandbox, or start something else.
		for _, key := range []string{"PermissionsStartOnly", "ReadWritePaths", "BindPaths", "SupplementaryGroups", "ExecStartPre", "ExecStartPost", "DynamicUser", "PAMName"} {
			if service[key] != nil {
				t.Errorf("%s: %s stands there", u.name, key)
			}
		}
		want := map[string]string{"server": "", "agent": "CAP_NET_RAW"}[u.name]
		if got := strings.Join(service["CapabilityBoundingSet"], ";"); got != want {
			t.Errorf("%s: capabilities %q; want %q", u.name, got, want)
		}
		if got := strings.Join(service["AmbientCapabilities"], ";"); got != want {
			t.Errorf("%s: ambient capabilities %q; want %q", u.name, got, want)
		}
		packets := strings.Contains(service["RestrictAddressFamilies"][0], "AF_PACKET")
		if packets != (u.name == "agent") {
			t.Errorf("%s: packet sockets %t", u.name, packets)
		}
	}
}

// TestUnitsBesideSystemd lets systemd read the units, where it is installed.
func TestUnitsBesideSystemd(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze here: ", err)
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"usr/bin/dormant": "#!/bin/sh\n", "usr/lib/systemd/system/sysinit.target": "[Unit]\nDescription=x\n",
		"usr/lib/systemd/system/basic.target": "[Unit]\nDescription=x\n", "usr/lib/systemd/system/shutdown.target": "[Unit]\nDescription=x\n",
		"usr/lib/systemd/system/" + units()[0].File(): units()[0].Text(), "usr/lib/systemd/system/" + units()[1].File(): units()[1].Text(),
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	for _, u := range units() {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--root="+root, "--threshold=25", "--no-pager", u.File()).CombinedOutput()
		if err != nil {
			t.Errorf("%s: exposed more than 2.5 of 10: %v\n%s", u.name, err, out)
			continue
		}
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		t.Logf("%s: %s", u.name, lines[len(lines)-1])
		for _, word := range []string{"Unknown key", "Failed to parse", "Unknown lvalue"} {
			if bytes.Contains(out, []byte(word)) {
				t.Errorf("%s: systemd says %q:\n%s", u.name, word, out)
			}
		}
	}
}

func configured(t *testing.T, name string) []byte {
	t.Helper()
	text, err := asset(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// uncommented is a text whose examples count: what is a comment of one # and
// looks like YAML. Prose is left out by the line that begins the example.
func uncommented(text []byte, begin string) []byte {
	var out []string
	on := false
	for line := range strings.Lines(string(text)) {
		rest, comment := strings.CutPrefix(line, "# ")
		on = on || comment && strings.HasPrefix(rest, begin)
		switch {
		case comment && on:
			out = append(out, rest)
		case !comment && !strings.HasPrefix(line, "#"):
			out = append(out, line)
		}
	}
	return []byte(strings.Join(out, ""))
}

func TestServerConfiguration(t *testing.T) {
	text := configured(t, "server.yaml")
	jobs, err := server.Parse("server.yaml", text)
	if err != nil || len(jobs.Jobs) != 0 {
		t.Fatalf("as it is: %v, %v; want no job", jobs, err)
	}
	example := uncommented(bytes.Replace(text, []byte("jobs: []\n"), nil, 1), "jobs:")
	jobs, err = server.Parse("server.yaml", example)
	if err != nil || len(jobs.Jobs) != 1 || jobs.Jobs[0].Name != "nightly" {
		t.Errorf("with its example: %v, %v; want the job nightly\n%s", jobs, err, example)
	}
}

func TestAgentConfiguration(t *testing.T) {
	text := configured(t, "agent.yaml")
	var m map[string]any
	if err := yaml.Unmarshal(text, &m); err != nil || m != nil {
		t.Errorf("as it is: %v, %v; want comments only", m, err)
	}
	if err := yaml.Unmarshal(uncommented(text, "rate:"), &m); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if d := cmp.Diff([]string{"host-rate", "never-scan", "rate", "vantage", "window"}, keys); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	for _, name := range []string{"never-scan.txt", "server.default"} {
		for line := range strings.Lines(string(configured(t, name))) {
			if !strings.HasPrefix(line, "#") {
				t.Errorf("%s: %q: want comments only", name, line)
			}
		}
	}
}

// TestContainer reads the container file as docker does, as far as it goes here.
func TestContainer(t *testing.T) {
	var all []*Program
	for _, p := range Platforms() {
		all = append(all, &Program{Platform: p, Data: []byte(p.String())})
	}
	files, err := Container(all)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range files {
		have[f.Name] = true
	}
	said := map[string]string{}
	for line := range strings.Lines(string(configured(t, "Containerfile"))) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || word == "#" {
			continue
		}
		said[word] = rest
		if word != "COPY" {
			continue
		}
		from := strings.Fields(rest)
		source := strings.TrimSuffix(from[len(from)-2], "/")
		for _, arch := range []string{"amd64", "arm64"} {
			if name := strings.ReplaceAll(source, "${TARGETARCH}", arch); !have[name] {
				t.Errorf("COPY %s: %s is not in the folder", rest, name)
			}
		}
	}
	for word, want := range map[string]string{"FROM": "scratch", "USER": "65532:65532", "VOLUME": "/var/lib/dormant", "ENTRYPOINT": `["/dormant"]`, "RUN": "", "ADD": ""} {
		if said[word] != want {
			t.Errorf("%s %q; want %q", word, said[word], want)
		}
	}
}
