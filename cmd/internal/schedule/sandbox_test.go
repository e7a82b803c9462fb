package schedule_test

import (
	"strings"
	"testing"

	"dormant/cmd/internal/schedule"
)

func TestSandbox(t *testing.T) {
	for _, tt := range []struct {
		name       string
		sandbox    schedule.Sandbox
		has, lacks string
	}{
		{"nothing", schedule.Sandbox{}, "\nRestrictAddressFamilies=none\n", "AmbientCapabilities"},
		{"no capability is the empty set", schedule.Sandbox{Families: []string{"AF_INET"}}, "CapabilityBoundingSet=\nNoNewPrivileges=yes\n", "CAP_"},
		{"families", schedule.Raw(), "\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK AF_PACKET AF_XDP\n", "=none"},
		{"raw", schedule.Raw(), "AmbientCapabilities=CAP_NET_RAW\nCapabilityBoundingSet=CAP_NET_RAW\n", "CAP_BPF"},
	} {
		got := tt.sandbox.Lines()
		if !strings.Contains(got, tt.has) || strings.Contains(got, tt.lacks) {
			t.Errorf("%s: %s\nwant %q and no %q", tt.name, got, tt.has, tt.lacks)
		}
	}
}
