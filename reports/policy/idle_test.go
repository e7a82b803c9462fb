package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/reports/policy"
)

func TestIdle(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	for _, tt := range []struct {
		name, rules, waivers string
		want                 []string
	}{
		{name: "none", rules: "{address: 10.0.0.1, expected: no}\n{address: 10.0.0.0/24, expected: yes}"},
		{name: "the same twice", rules: "{name: a, port: 1947, expected: no}\n{name: b, port: 1947/udp, expected: yes}",
			want: []string{"4: rule b never decides: rule a comes first and matches all that it does"}},
		{name: "a wider one first", rules: "{address: 10.0.0.0/8, expected: no}\n{address: [10.1.0.0/16, 10.2.0.9], port: 1, verdict: tarpit, expected: yes}",
			want: []string{"4: the rule of line 4 never decides: the rule of line 3 comes first and matches all that it does"}},
		{name: "the same network", rules: "{address: 10.0.0.0/8, expected: no}\n{address: 10.0.0.0/8, expected: yes}",
			want: []string{"4: the rule of line 4 never decides: the rule of line 3 comes first and matches all that it does"}},
		{name: "half of it", rules: "{address: 10.0.0.0/8, expected: no}\n{address: [10.1.0.0/16, 11.0.0.9], expected: yes}"},
		{name: "another family", rules: "{address: 0.0.0.0/0, expected: no}\n{address: '::/0', expected: yes}"},
		{name: "a narrower one first", rules: "{verdict: tarpit, vantage: dmz, expected: no}\n{verdict: tarpit, expected: yes}"},
		{name: "patterns", rules: "{product: vite*, expected: no}\n{product: [Vite*], vantage: dmz, expected: yes}\n{product: vi*, expected: no}",
			want: []string{"4: the rule of line 4 never decides: the rule of line 3 comes first and matches all that it does"}},
		{name: "ended", waivers: "{port: 1, owner: A, reason: r, expires: 2026-11-21}\n{port: 1, owner: B, reason: r, expires: 2026-11-22}",
			want: []string{"4: the waiver of A ended 2026-11-21: it tolerates nothing any more"}},
	} {
		list := func(key, lines string) string {
			text := key + ":\n"
			for line := range strings.Lines(lines) {
				text += "  - " + strings.TrimSpace(line) + "\n"
			}
			return text
		}
		p, err := policy.Parse("p.yaml", []byte("version: 1\n"+list("rules", tt.rules)+list("waivers", tt.waivers)))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var got []string
		for _, i := range p.Idle(now) {
			got = append(got, fmt.Sprintf("%d: %s", i.Line, i.Why))
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: Idle (-want +got):\n%s", tt.name, d)
		}
	}
}
