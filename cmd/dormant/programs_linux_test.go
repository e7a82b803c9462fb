package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/scanner/netlab"
)

// program is a real server that a test starts in a namespace.
type program struct {
	name    string
	at      netip.AddrPort
	needs   string // the command that must be installed; "" for none
	start   func(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string)
	verdict fingerprint.Class
	product string // in the finding
}

// programs are what the end-to-end test scans beside the lab. The addresses
// are those of its network.
func programs() []program {
	at := netip.MustParseAddrPort
	return []program{
		{"nginx", at("10.66.1.10:3588"), "nginx", startNginx, fingerprint.KnownService, "nginx"},
		{"redis", at("10.66.1.11:3712"), "redis-server", startRedis, fingerprint.KnownService, "Redis"},
		{"sshd", at("10.66.1.12:3047"), "sshd", startSSHD, fingerprint.KnownService, "OpenSSH"},
		{"python", at("10.77.0.100:3588"), "python3", startPython, fingerprint.DevServer, "Python http.server"},
		{"vite", at("10.77.0.101:3712"), "vite", startVite, fingerprint.DevServer, "Vite"},
		{"postgres", at("10.77.0.102:3588"), "postgres", startPostgres, fingerprint.KnownService, "PostgreSQL"},
		{"go", at("[fd66::10]:3588"), "", startGo, fingerprint.DevServer, "Go net/http"},
	}
}

// find returns the program's command. One that is not installed leaves the
// program out, or fails the test where DORMANT_REQUIRE_PROGRAMS is set.
func (p program) find(t *testing.T) (command string, ok bool) {
	t.Helper()
	if p.needs == "" {
		return "", true
	}
	places := []string{os.Getenv("DORMANT_NPM"), "/usr/sbin", "/usr/local/bin"} // DORMANT_NPM: a node_modules/.bin
	if more, err := filepath.Glob("/usr/lib/postgresql/*/bin"); err == nil {
		places = append(places, more...)
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), places...) {
		if command, err := exec.LookPath(filepath.Join(dir, p.needs)); err == nil && dir != "" {
			return command, true
		}
	}
	if os.Getenv("DORMANT_REQUIRE_PROGRAMS") != "" {
		t.Errorf("%s is not installed, and DORMANT_REQUIRE_PROGRAMS is set", p.needs)
	} else {
		t.Logf("left out: %s is not installed", p.needs)
	}
	return "", false
}

// launch starts cmd inside the namespace, ends it with the test, and waits
// until at accepts connections.
func launch(t *testing.T, ns *netlab.NS, at netip.AddrPort, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and what it started
		_ = cmd.Wait()
		_ = log.Close()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var c net.Conn
		ns.Do(func() { c, err = net.DialTimeout("tcp", at.String(), time.Second) })
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not listen on %v: %v\n%s", cmd.Path, at, err, text)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func startNginx(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c;
  uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e; server { listen %[2]v; root %[1]s; } }
`, dir, at))
	launch(t, ns, at, exec.Command(command, "-p", dir, "-c", filepath.Join(dir, "nginx.conf")))
}

func startRedis(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	launch(t, ns, at, exec.Command(command, "--bind", at.Addr().String(), "--port", strconv.Itoa(int(at.Port())),
		"--save", "", "--dir", t.TempDir(), "--protected-mode", "no"))
}

func startSSHD(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its privilege separation folder
		t.Skipf("sshd needs /run/sshd: %v", err)
	}
	launch(t, ns, at, exec.Command(command, "-D", "-e", "-f", "/dev/null", "-h", key, "-o", "UsePAM=no", "-o", "PidFile=none",
		"-o", "ListenAddress="+at.Addr().String(), "-o", "Port="+strconv.Itoa(int(at.Port()))))
}

func startPython(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	cmd := exec.Command(command, "-m", "http.server", "--bind", at.Addr().String(), strconv.Itoa(int(at.Port())))
	cmd.Dir = t.TempDir()
	launch(t, ns, at, cmd)
}

func startVite(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "index.html"), "<!doctype html><title>e2e</title>")
	cmd := exec.Command(command, "--host", at.Addr().String(), "--port", strconv.Itoa(int(at.Port())), "--strictPort")
	cmd.Dir = dir
	launch(t, ns, at, cmd)
}

// startPostgres runs the server as an unprivileged user: it refuses root.
func startPostgres(t *testing.T, ns *netlab.NS, at netip.AddrPort, command string) {
	dir, err := os.MkdirTemp("", "dormant-pg-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skipf("postgres refuses root, and there is no other user: %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Skipf("postgres: %v", err)
		}
	}
	initdb := exec.Command(filepath.Join(filepath.Dir(realPath(t, command)), "initdb"), "-D", dir, "-A", "trust", "--no-sync", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	cmd := exec.Command(realPath(t, command), "-D", dir, "-k", dir, "-c", "listen_addresses="+at.Addr().String(), "-p", strconv.Itoa(int(at.Port())))
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: attr.Credential}, dir
	launch(t, ns, at, cmd)
}

func realPath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func startGo(t *testing.T, ns *netlab.NS, at netip.AddrPort, _ string) {
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	srv := &http.Server{Handler: mux, ErrorLog: nil}
	done := make(chan struct{})
	go func() { // ends when the server is closed, below
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
}

// lines joins for a failure message.
func lines(all []string) string { return strings.Join(all, "\n") }
