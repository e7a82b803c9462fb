package doctor

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// inside tells the test binary that it runs in the namespace made for it.
const inside = "DORMANT_DOCTOR_INSIDE"

// TestFirewall runs TestInside in a network namespace of its own.
func TestFirewall(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft, which makes the rules to be found, is not installed")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInside$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		if os.Getenv("DORMANT_REQUIRE_NETNS") == "1" {
			t.Fatalf("no network namespace here: %v", err)
		}
		t.Skipf("no network namespace here: %v", err)
	}
	if err != nil {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

// TestInside needs the namespace that TestFirewall makes.
func TestInside(t *testing.T) {
	if os.Getenv(inside) == "" {
		t.Skip("TestFirewall runs this in a namespace of its own")
	}
	if f := firewall(); f.Err != nil || len(f.Chains) != 0 {
		t.Fatalf("fresh namespace: %+v", f)
	}
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(`
table inet fw {
	chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; ct state established accept; }
	chain out { type filter hook output priority 0; policy accept; }
	chain through { type filter hook forward priority 0; policy drop; }
	chain helper { tcp dport 23 accept; }
}
table ip nat { chain post { type nat hook postrouting priority 100; policy accept; } }
`)
	if out, err := nft.CombinedOutput(); err != nil {
		t.Skipf("nft cannot make rules here: %v: %s", err, out)
	}
	want := Firewall{Chains: []Chain{
		{Family: "inet", Table: "fw", Name: "in", Hook: "input", Drop: true, Rules: 2},
		{Family: "inet", Table: "fw", Name: "out", Hook: "output"},
	}}
	if d := cmp.Diff(want, firewall(), cmpopts.EquateErrors(), cmpopts.IgnoreFields(Firewall{}, "Legacy")); d != "" {
		t.Errorf("firewall (-want +got):\n%s", d)
	}
	if h := hop(netip.MustParseAddr("10.1.0.1")); h.Err == nil || h.Err.Error() != "has no route" {
		t.Errorf("hop without a route = %+v", h)
	}
}
