package main

import (
	"bytes"
	"encoding/csv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// demoSites runs the script of make demo-sites in a folder of its own, in which
// its temporary files stand, too. What it says can be read at any time.
func demoSites(t *testing.T, env ...string) (cmd *exec.Cmd, dir string, said func() string) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	l, err := net.Listen("tcp", "127.81.0.10:1947")
	if err != nil {
		t.Skipf("the addresses of the demo cannot be used here: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("examples/demo-sites.sh")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	dir = t.TempDir()
	cmd = exec.Command("bash", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), append(env, "TMPDIR="+dir)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what is left can be found
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	})
	return cmd, dir, func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

// nothingLeft checks that the script has left these files only, and no process.
func nothingLeft(t *testing.T, cmd *exec.Cmd, dir string, want ...string) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("the group of the script still has processes: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

// TestDemoSites runs the demo of two sites. Its addresses are there once, so one
// run follows the other.
func TestDemoSites(t *testing.T) {
	t.Parallel() // it waits, most of the time
	t.Run("to the end", demoToTheEnd)
	t.Run("interrupted", demoInterrupted)
	t.Run("with a web page", demoWithWeb)
}

// demoToTheEnd: one command shows two sites, each with what is there and with
// nothing of the other, and leaves its reports and nothing else.
func demoToTheEnd(t *testing.T) {
	cmd, dir, said := demoSites(t)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said())
	}
	nothingLeft(t, cmd, dir, "audit-hq.csv", "audit-hq.html", "audit-plant.csv", "audit-plant.html")
	for site, want := range map[string][]string{
		"hq": {
			"127.81.0.10:1947/tcp license_manager", "127.81.0.10:1947/udp license_manager", "127.81.0.12:5093/udp license_manager",
			"127.81.0.20:3588/tcp dev_server", "127.81.0.21:3712/tcp dev_server", "127.81.0.22:3047/tcp dev_server", "127.81.0.23:3588/tcp dev_server",
			"127.81.0.30:3712/tcp known_service", "127.81.0.31:3588/tcp known_service", "127.81.0.32:3047/tcp known_service",
		},
		"plant": {
			"127.82.0.11:1947/tcp license_manager", "127.82.0.11:1947/udp license_manager", "127.82.0.14:3712/tcp license_manager",
			"127.82.0.22:3047/tcp dev_server", "127.82.0.33:3712/tcp known_service", "127.82.0.40:3588/tcp open_shell", "127.82.0.41:3047/tcp tarpit",
		},
	} {
		if d := cmp.Diff(want, rowsOf(t, filepath.Join(dir, "audit-"+site+".csv"), site)); d != "" {
			t.Errorf("%s (-want +got):\n%s", site, d)
		}
		page, err := os.ReadFile(filepath.Join(dir, "audit-"+site+".html"))
		if err != nil || !bytes.Contains(page, []byte("</html>")) || !bytes.Contains(page, []byte(strings.Split(want[0], ":")[0])) {
			t.Errorf("audit-%s.html is not the report of the site: %v", site, err)
		}
	}
	for _, want := range []string{"enrolled as hq-1 at hq (lan)", "enrolled as plant-1 at plant (floor)", "Needs attention", "127.82.0.40:3588/tcp"} {
		if !strings.Contains(said(), want) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(said())
	}
}

// rowsOf reads the rows of a site's CSV.
func rowsOf(t *testing.T, path, site string) (all []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: %d rows, %v", path, len(rows), err)
	}
	at := func(row []string, column string) string { return row[slices.Index(rows[0], column)] }
	for _, row := range rows[1:] {
		if at(row, "site") != site {
			t.Errorf("%s has a row of site %q", path, at(row, "site"))
		}
		all = append(all, at(row, "ip")+":"+at(row, "port")+"/"+at(row, "transport")+" "+at(row, "verdict"))
	}
	return all
}

// demoInterrupted: Ctrl-C in the middle leaves nothing.
func demoInterrupted(t *testing.T) {
	cmd, dir, said := demoSites(t)
	begun := func() bool {
		logs, _ := filepath.Glob(filepath.Join(dir, "*", "plant-1.log"))
		for _, name := range logs {
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte("gives work")) {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(time.Minute); !begun(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no agent within a minute")
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil { // as a terminal does it
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the interrupted demo ends as if nothing had been")
	}
	nothingLeft(t, cmd, dir)
	if t.Failed() {
		t.Log(said())
	}
}

// demoWithWeb: asked for, the page of the demo is there after the run, lets
// in whoever has the token that is shown, and goes with Ctrl-C, which is the end
// that was meant.
func demoWithWeb(t *testing.T) {
	cmd, dir, said := demoSites(t, "WEB=1")
	shown := regexp.MustCompile(`The web page: (http://127\.0\.0\.1:[0-9]+) +its token: (\S+)`)
	var page []string
	for deadline := time.Now().Add(time.Minute); page == nil; time.Sleep(50 * time.Millisecond) {
		if page = shown.FindStringSubmatch(said()); page == nil && time.Now().After(deadline) {
			t.Fatalf("no web page within a minute:\n%s", said())
		}
	}
	for token, want := range map[string]int{page[2]: http.StatusOK, "wrong": http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page[1]+"/findings", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // it was read to its end
		sees := bytes.Contains(body, []byte("127.81.0.10")) && bytes.Contains(body, []byte("127.82.0.40"))
		if resp.StatusCode != want || sees != (want == http.StatusOK) {
			t.Errorf("with token %q: status %d, both sites shown %t; want %d", token, resp.StatusCode, sees, want)
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v; want a good end", err)
	}
	nothingLeft(t, cmd, dir, "audit-hq.csv", "audit-hq.html", "audit-plant.csv", "audit-plant.html")
	if t.Failed() {
		t.Log(said())
	}
}
