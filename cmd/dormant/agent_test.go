package main

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestVantageList(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want vantageList
		err  string
	}{
		{in: "lan", want: vantageList{{name: "lan"}}},
		{in: "lan=eth1.20,dmz=10.9.0.5", want: vantageList{{name: "lan", iface: "eth1.20"}, {name: "dmz", source: netip.MustParseAddr("10.9.0.5")}}},
		{in: "six=fd00::5", want: vantageList{{name: "six", source: netip.MustParseAddr("fd00::5")}}},
		{in: "lan=", err: "behind the ="},
		{in: "lan,lan=eth1", err: "twice"},
		{in: "", err: "want"},
		{in: "a.b", err: "want"},
	} {
		var got vantageList
		err := got.Set(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Set(%q) = %v, want %q", tt.in, err, tt.err)
			}
			continue
		}
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(vantageValue{}), cmpopts.EquateComparable(netip.Addr{})); err != nil || d != "" {
			t.Errorf("Set(%q): %v (-want +got):\n%s", tt.in, err, d)
		}
		if got.String() != tt.in {
			t.Errorf("String after Set(%q) = %q", tt.in, got.String())
		}
	}
}

func TestSizeValue(t *testing.T) {
	for _, tt := range []struct {
		in, out string
		want    int64 // 0: refused
	}{
		{"1GB", "1GB", 1 << 30},
		{"500mb", "500MB", 500 << 20},
		{"1025", "1025", 1025},
		{"2048", "2KB", 2048},
		{"8388607TB", "8388607TB", math.MaxInt64 >> 40 << 40},
		{in: "8388608TB"}, {in: "0"}, {in: "-1GB"}, {in: "1.5GB"}, {in: "GB"}, {in: ""}, {in: "1 GB"},
	} {
		var v sizeValue
		err := v.Set(tt.in)
		if (err == nil) != (tt.want != 0) || int64(v) != tt.want || err == nil && v.String() != tt.out {
			t.Errorf("Set(%q) = %d (%s), %v; want %d (%s)", tt.in, int64(v), v.String(), err, tt.want, tt.out)
		}
	}
}
