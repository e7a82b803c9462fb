//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// median returns the middle of the values that of gives for rows.
func median(rows []row, of func(row) float64) float64 {
	if len(rows) == 0 {
		return 0
	}
	values := make([]float64, len(rows))
	for i, r := range rows {
		values[i] = of(r)
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

func rateOf(r row) float64 { return r.rate }
func wallOf(r row) float64 { return r.wall.Seconds() }
func cpuOf(r row) float64  { return r.cpu }

func memoryOf(r row) float64  { return r.memory }
func privateOf(r row) float64 { return r.private }

// print writes the tables in Markdown.
func (m *measurements) print(w io.Writer) {
	fmt.Fprintln(w, "| job | program | runs | sent /s | wall s | processor s a million | memory MiB | of it private | found | invented |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, j := range m.jobs {
		for _, p := range m.peers {
			rows := m.rows[key{j.name, p.name}]
			if len(rows) == 0 {
				continue
			}
			found, invented := "–", 0
			if recall := median(rows, func(r row) float64 { return r.recall }); recall >= 0 {
				found = fmt.Sprintf("%.2f %%", 100*recall)
			}
			for _, r := range rows {
				invented += r.invents
			}
			fmt.Fprintf(w, "| %s | %s | %d | %.0f | %.2f | %.2f | %.0f | %.0f | %s | %d |\n", j.name, p.name, len(rows), median(rows, rateOf),
				median(rows, wallOf), median(rows, cpuOf), median(rows, memoryOf), median(rows, privateOf), found, invented)
		}
	}
	fmt.Fprintln(w, "\n| job | ratio | sent /s (more is better) | wall (less) | processor a probe (less) |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|")
	for _, j := range m.jobs {
		for _, p := range m.peers {
			for _, q := range m.peers {
				ours, theirs := m.rows[key{j.name, p.name}], m.rows[key{j.name, q.name}]
				if p.found == nil || !p.ours() || q.ours() || len(ours) == 0 || len(theirs) == 0 {
					continue
				}
				ratio := func(of func(row) float64) string {
					if median(theirs, of) == 0 {
						return "–"
					}
					return fmt.Sprintf("%.2f", median(ours, of)/median(theirs, of))
				}
				fmt.Fprintf(w, "| %s | %s / %s | %s | %s | %s |\n", j.name, p.name, q.name, ratio(rateOf), ratio(wallOf), ratio(cpuOf))
			}
		}
	}
}

// machine describes where this was measured.
func machine(l *lab) string {
	var name unix.Utsname
	_ = unix.Uname(&name) // without it the description is shorter
	door := "nftables"
	if !l.byNFT {
		door = "a route"
	}
	words := []string{
		fmt.Sprintf("%d × %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		"Linux " + unix.ByteSliceToString(name.Release[:]), strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`),
		runtime.Version(), "dark probes dropped by " + door,
	}
	for _, p := range []struct{ program, flag string }{{"masscan", "--version"}, {"zmap", "--version"}} {
		out, _ := exec.Command(p.program, p.flag).CombinedOutput() // masscan exits with 1
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line != "" {
				line, _, _ = strings.Cut(line, " (")
				words = append(words, line)
				break
			}
		}
	}
	return strings.Join(words, ", ")
}

// field returns the value of the first line of a file that begins with name.
func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, "\t :="))
		}
	}
	return "unknown"
}
