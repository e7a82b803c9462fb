//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFound: what each program writes, as recorded, and what is no finding.
func TestFound(t *testing.T) {
	one := job{ports: []int{475}}
	for _, tt := range []struct {
		name string
		read func(out string, j job) (map[string]bool, error)
		text string
		want []string
		bad  bool
	}{
		{name: "dormant", read: foundByUs, text: "state,ip,port\r\nopen,10.77.0.7,3588\r\nclosed,10.77.0.7,475\r\nopen_filtered,10.77.0.7,5093\r\n",
			want: []string{"10.77.0.7 3588"}},
		{name: "dormant, nothing", read: foundByUs, text: "state,ip,port\r\n"},
		{name: "dormant, no header", read: foundByUs, text: "", bad: true},
		{name: "dormant, torn", read: foundByUs, text: "state,ip,port\r\nopen,10.77", bad: true},
		{name: "masscan", read: foundByMasscan, text: "#masscan\nopen tcp 3588 10.77.0.7 1700000000\nopen udp 5093 10.77.0.107 1700000001\nbanner tcp 80 10.0.0.1 1700000002 x\nopen tcp\n# end\n",
			want: []string{"10.77.0.107 5093", "10.77.0.7 3588"}},
		{name: "masscan, nothing", read: foundByMasscan, text: ""},
		{name: "zmap", read: foundByZmap, text: "10.77.0.7\n\n10.77.0.107\n", want: []string{"10.77.0.107 475", "10.77.0.7 475"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(out, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := tt.read(out, one)
			if (err != nil) != tt.bad || err != nil && strings.Contains(err.Error(), "%!") {
				t.Fatalf("error %v, want one: %t", err, tt.bad)
			}
			var got []string
			for key := range found {
				got = append(got, key)
			}
			slices.Sort(got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("found (-want +got):\n%s", d)
			}
		})
	}
	if _, err := foundByMasscan(filepath.Join(t.TempDir(), "none"), one); err == nil {
		t.Error("no file: no error")
	}
}

// TestArgs: all programs get the same targets and ports, and one that
// cannot do a job is left out of it.
func TestArgs(t *testing.T) {
	for _, j := range jobs() {
		for _, p := range peers("dormant") {
			args := p.args(j, "02:00:00:00:00:01", "out")
			if p.program == "zmap" && !j.one {
				if args != nil {
					t.Errorf("%s: zmap is given %d ports", j.name, len(j.ports))
				}
				continue
			}
			line := strings.Join(args, " ")
			for _, want := range []string{j.targets, "475"} {
				if !strings.Contains(line, want) {
					t.Errorf("%s, %s: %q has no %q", j.name, p.name, line, want)
				}
			}
		}
	}
}

func TestPackets(t *testing.T) {
	for _, tt := range []struct {
		job  job
		want uint64
	}{
		{job{targets: "10.0.0.0/16", ports: six()}, 6 << 16},
		{job{targets: "10.0.0.0/14", ports: []int{475}}, 1 << 18},
	} {
		if got := tt.job.packets(); got != tt.want {
			t.Errorf("%s with %d ports: %d packets, want %d", tt.job.targets, len(tt.job.ports), got, tt.want)
		}
	}
}

func TestChoose(t *testing.T) {
	all := "dark, tcp, full rate; sparse, tcp, full rate; sparse, udp, full rate; one port, tcp, full rate; " +
		"sparse, tcp, 100,000/s; sparse, tcp, 10,000/s; sparse, tcp, full rate, own waits and retries"
	for _, tt := range []struct{ words, want, bad string }{
		{words: "", want: all},
		{words: "dark,udp", want: "dark, tcp, full rate; sparse, udp, full rate"},
		{words: "own,udp", want: "sparse, udp, full rate; sparse, tcp, full rate, own waits and retries"},
		{words: "dark,nothing", bad: `-jobs "dark,nothing": "nothing" is in the name of no job: want words of ` + all},
		{words: "dark,", bad: `-jobs "dark,": "" is in the name of no job: want words of ` + all},
	} {
		got, err := choose(tt.words)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if joined := strings.Join(names(got), "; "); joined != tt.want || said != tt.bad {
			t.Errorf("choose(%q) = %s, %q; want %s, %q", tt.words, joined, said, tt.want, tt.bad)
		}
	}
}
