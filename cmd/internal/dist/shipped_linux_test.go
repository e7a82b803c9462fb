package main

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestShipped installs, unpacks and runs what make dist made, which is in the
// folder DORMANT_DIST. make dist-check calls it.
func TestShipped(t *testing.T) {
	dir := os.Getenv("DORMANT_DIST")
	if dir == "" {
		t.Skip("DORMANT_DIST names no folder that make dist made")
	}
	s := shipped{dir}
	t.Run("digests", s.digests)
	t.Run("archives", s.archives)
	t.Run("package", s.install)
	t.Run("lintian", s.lintian)
	t.Run("container", s.container)
}

type shipped struct{ dir string }

// one is the only file that matches.
func (s shipped) one(t *testing.T, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(s.dir, pattern))
	if err != nil || len(all) != 1 {
		t.Fatalf("%s: %v, %v; want one file", pattern, all, err)
	}
	return all[0]
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (s shipped) digests(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// archives unpacks each, holds its parts against the binary, and runs the one
// that is for this machine.
func (s shipped) archives(t *testing.T) {
	for _, p := range Platforms() {
		if all, err := filepath.Glob(filepath.Join(s.dir, "dormant_*_"+p.String()+".*")); len(all) == 0 || err != nil {
			t.Logf("%v is not there (%v)", p, err)
			continue
		}
		dir := t.TempDir()
		if p.OS == "windows" {
			must(t, "unzip", "-q", s.one(t, "dormant_*_"+p.String()+".zip"), "-d", dir)
		} else {
			must(t, "tar", "-xzf", s.one(t, "dormant_*_"+p.String()+".tar.gz"), "-C", dir)
		}
		top, err := filepath.Glob(dir + "/dormant_*")
		if err != nil || len(top) != 1 {
			t.Fatalf("%v: %v, %v; want one folder", p, top, err)
		}
		for _, name := range []string{"LICENSE", "README.md", "THIRD_PARTY_LICENSES", "sbom.cdx.json", "man/man1/dormant-scan.1", "completions/dormant.bash", "completions/_dormant", "completions/dormant.fish", "completions/dormant.ps1"} {
			if info, err := os.Stat(filepath.Join(top[0], name)); err != nil || info.Size() == 0 {
				t.Errorf("%v: %s: %v", p, name, err)
			}
		}
		binary := filepath.Join(top[0], p.Binary())
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(top[0], "sbom.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		checkSBOM(t, text, info)
		if p.OS != runtime.GOOS || p.Arch != runtime.GOARCH {
			continue
		}
		if got, want := must(t, binary, "version"), "dormant "+info.Main.Version+" "; info.Main.Version != "(devel)" && !strings.HasPrefix(got, want) {
			t.Errorf("version is %q; want %q", got, want)
		}
		if out, err := exec.CommandContext(t.Context(), "file", binary).Output(); err == nil && !bytes.Contains(out, []byte("statically linked")) {
			t.Errorf("not static: %s", out)
		}
	}
}

// install puts the package into an empty root as dpkg does, changes a
// configuration, installs it again, removes it and purges it.
func (s shipped) install(t *testing.T) {
	for _, tool := range []string{"dpkg", "systemd-sysusers"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("dpkg wants root; make dist-check runs this in a namespace where everybody is")
	}
	root, deb := t.TempDir(), s.one(t, "dormant_*_"+runtime.GOARCH+".deb")
	for _, dir := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { //nolint:gosec // as on a machine
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/var/lib/dpkg/status", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return must(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-depends", "--force-architecture", "--force-confold", "--log=/dev/null"}, args...)...)
	}
	is := func(want bool, name string) {
		t.Helper()
		if _, err := os.Lstat(filepath.Join(root, name)); (err == nil) != want {
			t.Errorf("%s: %v; want it there: %t", name, err, want)
		}
	}
	dpkg("--install", deb)
	for _, name := range []string{"usr/bin/dormant", "usr/lib/systemd/system/dormant-agent.service", "usr/share/man/man1/dormant-server.1.gz", "etc/default/dormant-server"} {
		is(true, name)
	}
	for _, name := range []string{"etc/systemd/system/multi-user.target.wants/dormant-agent.service", "etc/systemd/system/multi-user.target.wants/dormant-server.service"} {
		is(false, name)
	}
	passwd, err := os.ReadFile(root + "/etc/passwd")
	for _, u := range units() {
		if err != nil || !strings.Contains(string(passwd), u.User()+":") || !strings.Contains(string(passwd), u.Home()) {
			t.Errorf("user %s is not in\n%s (%v)", u.User(), passwd, err)
		}
	}
	if out := must(t, filepath.Join(root, "usr/bin/dormant"), "server", "check", root+"/etc/dormant/server.yaml"); !strings.Contains(out, "no job") {
		t.Errorf("server check of the installed configuration: %s", out)
	}

	mine := "# mine\n"
	if err := os.WriteFile(root+"/etc/dormant/never-scan.txt", []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(root, units()[0].Home(), "kept")
	if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", deb)
	if got, err := os.ReadFile(root + "/etc/dormant/never-scan.txt"); err != nil || string(got) != mine {
		t.Errorf("after an upgrade the user's list is %q, %v; want %q", got, err, mine)
	}
	dpkg("--remove", "dormant")
	is(false, "usr/bin/dormant")
	is(true, "etc/dormant/never-scan.txt")
	is(true, "var/lib/dormant-server/kept")
	dpkg("--purge", "dormant")
	is(false, "etc/dormant")
	is(false, "etc/default/dormant-server")
	is(false, "var/lib/dormant-server")
	is(false, "var/lib/dormant-agent")
}

func (s shipped) lintian(t *testing.T) {
	if _, err := exec.LookPath("lintian"); err != nil {
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), "lintian", "--no-cfg", "--allow-root",
		"--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog", // whoever ships it gives MAINTAINER
		"--fail-on=error,warning", s.one(t, "dormant_*_"+runtime.GOARCH+".deb")).CombinedOutput()
	t.Logf("lintian says:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

// container puts the files where Containerfile says and runs the program there
// as its user: nothing but these files is to be seen.
func (s shipped) container(t *testing.T) {
	root, from := t.TempDir(), filepath.Join(s.dir, "container")
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // the root of another user
		t.Fatal(err)
	}
	env := []string{}
	var entry []string
	for line := range strings.Lines(string(configured(t, "Containerfile"))) {
		words := slices.DeleteFunc(strings.Fields(strings.ReplaceAll(line, "${TARGETARCH}", runtime.GOARCH)), func(w string) bool { return strings.HasPrefix(w, "--") })
		switch {
		case len(words) == 0:
		case words[0] == "COPY":
			source, to := from+"/"+words[1], filepath.Join(root, words[2])
			if strings.HasSuffix(source, "/") { // what is in it
				source += "."
				if err := os.MkdirAll(to, 0o755); err != nil { //nolint:gosec // as docker does
					t.Fatal(err)
				}
			}
			must(t, "cp", "-a", source, to)
		case words[0] == "ENV":
			env = words[1:]
		case words[0] == "ENTRYPOINT":
			entry = []string{strings.Trim(words[1], `[]"`)}
		}
	}
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), entry[0], append(entry[1:], args...)...)
		cmd.Dir, cmd.Env = "/var/lib/dormant", env
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: containerUser, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: containerUser, HostID: os.Getegid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("--help"); err != nil || !strings.Contains(out, "dormant sweeps networks") {
		t.Fatalf("--help: %v\n%s", err, out)
	}
	out, err := run("scan", "127.93.7.1", "--ports", "3588", "--rate", "max", "-o", "audit.csv")
	if err != nil || !strings.Contains(out, "Complete.") {
		t.Errorf("scan: %v\n%s", err, out)
	}
	for _, name := range []string{"audit.csv", "history.db"} {
		if _, err := os.Stat(filepath.Join(root, "var/lib/dormant", name)); err != nil {
			t.Errorf("the state has no %s: %v", name, err)
		}
	}
}
