package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dormant/scanner/netlab"
)

// TestListenersOfThisHost lets the command find this very test, which listens
// in a namespace, and holds it against what a scan would have said.
func TestListenersOfThisHost(t *testing.T) {
	here, there := netlab.Pair(t, "here0", "there0")
	here.Addr("here0", "10.1.0.1/24")
	there.Addr("there0", "10.1.0.2/24")
	var l net.Listener
	var err error
	here.Do(func() { l, err = net.Listen("tcp4", "0.0.0.0:3712") })
	if err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) (string, int) {
		var stdout, stderr bytes.Buffer
		var code int
		here.Do(func() {
			code = run(t.Context(), append([]string{"listeners"}, args...), strings.NewReader(""), &stdout, &stderr)
		})
		if code == exitUsage || code == exitOutput {
			t.Errorf("listeners %v: exit %d, %s", args, code, &stderr)
		}
		return stdout.String(), code
	}
	out := filepath.Join(t.TempDir(), "host.csv")
	text, _ := command("--ports", "3712/tcp", "--format", "json", "-o", out)
	var all []struct {
		Role      string
		Namespace string
		Bound     string
		Addresses []string
		Process   *struct{ PID int }
		Judgement struct{ Verdict string }
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	found := false
	for _, x := range all {
		if x.Namespace == "" && x.Process != nil && x.Process.PID == os.Getpid() {
			found = x.Role == "listens" && x.Bound == "0.0.0.0" && fmt.Sprint(x.Addresses) == "[10.1.0.1]"
		}
	}
	if !found {
		t.Errorf("this test is not found:\n%s", text)
	}
	row, err := os.ReadFile(out)
	if want := fmt.Sprintf("(pid %d)", os.Getpid()); err != nil || !strings.Contains(string(row), ",10.1.0.1,") ||
		!strings.Contains(string(row), ",open,local-socket,") || !strings.Contains(string(row), want) {
		t.Errorf("the file has no row of this test: %v\n%s", err, row)
	}

	scan := filepath.Join(t.TempDir(), "scan.csv")
	for _, tt := range []struct {
		name, row, result string
		code              int
	}{
		{"the scan saw it", "10.1.0.1,tcp,3712,open", "agree", exitOK},
		{"the scan was kept out", "10.1.0.1,tcp,3712,filtered", "blocked", exitFindings},
		{"the scan saw another", "10.1.0.1,tcp,1947,open", "not_here", exitFindings},
	} {
		if err := os.WriteFile(scan, []byte("ip,transport,port,state\r\n"+tt.row+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		text, code := command("--ports", "3712/tcp,1947/tcp", "--scan", scan, "--format", "csv")
		port := strings.Split(tt.row, ",")[2]
		if !strings.Contains(text, "10.1.0.1,"+port+"/tcp,"+tt.result+",") {
			t.Errorf("%s: no %s in:\n%s", tt.name, tt.result, text)
		}
		if tt.code == exitFindings && code != tt.code {
			t.Errorf("%s: exit %d, want %d", tt.name, code, tt.code)
		}
	}
	if text, _ := command("--ports", "3712/tcp", "--scan", scan, "--format", "csv"); strings.Contains(text, "1947/tcp") {
		t.Errorf("a port that was not asked for is compared:\n%s", text)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if text, _ := command("--ports", "3712/tcp", "--format", "csv"); strings.Contains(text, fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("it has closed its socket and is still there:\n%s", text)
	}
}
