//go:build linux

package wire

import (
	"net/netip"
	"testing"

	"golang.org/x/time/rate"

	"dormant/registry"
)

func TestBurst(t *testing.T) {
	three := make([]registry.Port, 3)
	for _, tt := range []struct {
		name     string
		rate     rate.Limit
		prefixes []string
		zones    []string
		want     int
	}{
		{"rate not known", 0, []string{"10.0.0.0/16"}, nil, 0},
		{"bounded by the rate", 10_000, []string{"10.0.0.0/16"}, nil, 1000},
		{"bounded by the targets", rate.Inf, []string{"10.0.0.0/24", "10.0.9.0/25"}, nil, 384 * 3},
		{"slower than ten a second", 1, []string{"10.0.0.0/16"}, nil, 1},
		{"more than can be counted", rate.Inf, []string{"fd00::/8"}, nil, 1<<31 - 1},
		{"zones hold more than their prefixes tell", rate.Inf, []string{"10.0.0.0/24"}, []string{"eth0"}, 0},
	} {
		cfg := Config{Rate: tt.rate, Zones: tt.zones, Ports: three}
		for _, p := range tt.prefixes {
			cfg.Prefixes = append(cfg.Prefixes, netip.MustParsePrefix(p))
		}
		if got := cfg.burst(); got != tt.want {
			t.Errorf("%s: burst = %d, want %d", tt.name, got, tt.want)
		}
	}
}
