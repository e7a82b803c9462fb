//go:build linux

package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// job is one thing to measure.
type job struct {
	name    string
	targets string
	ports   []int
	proto   string // tcp or udp
	rate    int    // packets a second, 0: as fast as it goes
	wait    int    // seconds for late answers, 0: each program's own
	one     bool   // also with one port, for programs that ask one a run
}

func six() []int { return []int{3588, 3712, 3047, 1947, 5093, 475} }

// jobs is what is measured.
func jobs() []job {
	return []job{
		{name: "dark, tcp, full rate", targets: "10.88.0.0/16", ports: six(), proto: "tcp", wait: 2},
		{name: "sparse, tcp, full rate", targets: sparseBlock, ports: six(), proto: "tcp", wait: 2},
		{name: "sparse, udp, full rate", targets: sparseBlock, ports: six(), proto: "udp", wait: 2},
		{name: "one port, tcp, full rate", targets: darkBlock, ports: []int{475}, proto: "tcp", wait: 2, one: true},
		{name: "sparse, tcp, 100,000/s", targets: sparseBlock, ports: six(), proto: "tcp", rate: 100_000, wait: 2},
		{name: "sparse, tcp, 10,000/s", targets: "10.77.0.0/18", ports: six(), proto: "tcp", rate: 10_000, wait: 2},
		{name: "sparse, tcp, full rate, own waits and retries", targets: sparseBlock, ports: six(), proto: "tcp"},
	}
}

// packets returns how many probes j is.
func (j job) packets() uint64 {
	_, bits, _ := strings.Cut(j.targets, "/")
	n, _ := strconv.Atoi(bits) // of our own table
	return uint64(len(j.ports)) << (32 - n)
}

// peer is a program to measure. args returns nil for a job that is not for it.
type peer struct {
	name    string
	program string
	args    func(j job, router, out string) []string
	found   func(out string, j job) (map[string]bool, error) // "address port"
}

// highest is what masscan takes for "no limit".
const highest = 10_000_000

func join(ports []int, prefix, suffix string) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = prefix + strconv.Itoa(p) + suffix
	}
	return strings.Join(words, ",")
}

// peers lists all programs. ours comes first.
func peers(ours string) []peer {
	backend := func(name, backend string) peer {
		return peer{name: name, program: ours, found: foundByUs, args: func(j job, _, out string) []string {
			rate := "max"
			if j.rate > 0 {
				rate = strconv.Itoa(j.rate)
			}
			args := []string{"scan", "--quiet", "--backend", backend, "--interface", "scan0", "--ports", join(j.ports, "", "/"+j.proto),
				"--rate", rate, "--host-rate", "1000", "--no-identify", "--no-history", "-o", out, "--yes"}
			if j.wait > 0 { // one probe a target, as the others send
				args = append(args, "--retries", "0", "--cooldown", strconv.Itoa(j.wait)+"s")
			}
			return append(args, j.targets)
		}}
	}
	return []peer{
		backend("dormant", "afxdp"),
		backend("dormant, sendmmsg", "afpacket"),
		{name: "masscan", program: "masscan", args: masscanArgs, found: foundByMasscan},
		{name: "zmap", program: "zmap", args: zmapArgs, found: foundByZmap},
	}
}

func masscanArgs(j job, _, out string) []string {
	rate, ports := j.rate, join(j.ports, "", "")
	if rate == 0 {
		rate = highest
	}
	if j.proto == "udp" {
		ports = join(j.ports, "U:", "")
	}
	args := []string{"-e", "scan0", "--rate", strconv.Itoa(rate), "-p", ports, j.targets, "-oL", out}
	if j.wait > 0 {
		args = append(args, "--wait", strconv.Itoa(j.wait))
	}
	return args
}

func zmapArgs(j job, router, out string) []string {
	if !j.one { // version 2 asks one port a run
		return nil
	}
	args := []string{"-C", os.DevNull, "-b", os.DevNull, "-q", "-p", strconv.Itoa(j.ports[0]), "-r", strconv.Itoa(j.rate),
		"-T", "1", "-i", "scan0", "-G", router, "-o", out}
	if j.wait > 0 {
		args = append(args, "-c", strconv.Itoa(j.wait))
	}
	return append(args, j.targets)
}

// installed returns the programs that are there, and the names of the others.
func installed(all []peer) (there []peer, missing []string) {
	for _, p := range all {
		if path, err := exec.LookPath(p.program); err == nil {
			p.program = path
			there = append(there, p)
		} else {
			missing = append(missing, p.name)
		}
	}
	return there, missing
}

// foundByUs reads the CSV of dormant.
func foundByUs(out string, _ job) (map[string]bool, error) {
	f, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", out, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("read %s: it is empty: want a header at least", out)
	}
	place := map[string]int{}
	for i, name := range rows[0] {
		place[name] = i
	}
	found := map[string]bool{}
	for _, row := range rows[1:] {
		if row[place["state"]] == "open" {
			found[row[place["ip"]]+" "+row[place["port"]]] = true
		}
	}
	return found, nil
}

// foundByMasscan reads lines as "open tcp 3588 10.77.0.7 1700000000".
func foundByMasscan(out string, _ job) (map[string]bool, error) {
	return foundInLines(out, func(words []string) string {
		if len(words) < 4 || words[0] != "open" {
			return ""
		}
		return words[3] + " " + words[2]
	})
}

// foundByZmap reads lines of addresses.
func foundByZmap(out string, j job) (map[string]bool, error) {
	return foundInLines(out, func(words []string) string { return words[0] + " " + strconv.Itoa(j.ports[0]) })
}

func foundInLines(out string, read func(words []string) string) (map[string]bool, error) {
	f, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 0 {
			if key := read(words); key != "" {
				found[key] = true
			}
		}
	}
	return found, lines.Err()
}
