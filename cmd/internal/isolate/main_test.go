//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyLoopback builds the command and asks, inside, which interfaces there
// are and whether loopback works.
func TestOnlyLoopback(t *testing.T) {
	if os.Getenv("DORMANT_ASK") != "" {
		answer(t)
		return
	}
	bin := filepath.Join(t.TempDir(), "isolate")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, os.Args[0], "-test.run=^TestOnlyLoopback$", "-test.v")
	cmd.Env = append(os.Environ(), "DORMANT_ASK=1")
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "no namespace here") && os.Getenv("DORMANT_REQUIRE_NETNS") == "" {
		t.Skipf("namespaces are forbidden here: %s", out)
	}
	if err != nil {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	if code, _ := run(nil); code != 2 {
		t.Errorf("run() without a command = %d, want 2", code)
	}
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
