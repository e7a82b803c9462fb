//go:build linux

package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Lossy lets an interface lose so many of a thousand frames by chance, in each
// direction, whatever they carry: ARP and neighbour discovery, too. It needs
// the program nft, without which the test is skipped, or fails with
// DORMANT_REQUIRE_PROGRAMS.
func (ns *NS) Lossy(name string, perMille int) {
	ns.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("DORMANT_REQUIRE_PROGRAMS") != "" {
			ns.t.Fatal("netlab: nft is not installed, and DORMANT_REQUIRE_PROGRAMS is set")
		}
		ns.t.Skip("netlab: nft is not installed")
	}
	chain := "	chain %s { type filter hook %[1]s device \"" + name + "\" priority 0; numgen random mod 1000 < %[2]d drop; }\n"
	rules := "table netdev loss {\n" + fmt.Sprintf(chain, "ingress", perMille) + fmt.Sprintf(chain, "egress", perMille) + "}\n"
	var said []byte
	var err error
	ns.Do(func() {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		said, err = cmd.CombinedOutput()
	})
	if err != nil {
		ns.t.Skipf("netlab: this kernel loses no frames at random: nft: %v: %s", err, said)
	}
}
