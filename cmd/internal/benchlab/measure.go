//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// row is one measured run of one program.
type row struct {
	wall    time.Duration
	rate    float64 // packets a second that arrived between the first and the last hundredth
	cpu     float64 // seconds of processor time a million probes
	memory  float64 // largest resident set in MiB, pages of the program's file and rings shared with the kernel among them
	private float64 // largest part of it that is the process's own memory (RssAnon) in MiB, as seen every 20 ms
	recall  float64 // part of the open ports that were found, -1 where there are none
	invents int     // ports called open that are not
}

// longest is how long one run may take.
const longest = 90 * time.Second

// measure runs one program once.
func (l *lab) measure(ctx context.Context, p peer, j job, dir string) (row, error) {
	out := filepath.Join(dir, "result.csv")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		return row{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.program, p.args(j, l.router.String(), out)...)
	cmd.Dir = dir // masscan leaves a file when it is interrupted
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir)
	cmd.Stdout = io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var told tail
	cmd.Stderr = &told

	before, err := l.received()
	if err != nil {
		return row{}, err
	}
	began := make(chan error, 1)
	ended := make(chan error, 1)
	go func() { // ends with the program
		ended <- l.scan.do(func() error {
			err := cmd.Start()
			began <- err
			if err != nil {
				return err
			}
			return cmd.Wait() // on this thread, whose end would end the program
		})
	}()
	start := time.Now()
	if err := <-began; err != nil {
		<-ended
		return row{}, fmt.Errorf("start %s: %w", p.name, err)
	}
	rate, private, err := l.watch(before, j.packets(), cmd.Process.Pid, ended)
	if err != nil {
		return row{}, fmt.Errorf("%s: %w: %s", p.name, err, told)
	}
	r := row{wall: time.Since(start), rate: rate, private: private}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	r.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() * 1e6 / float64(j.packets())
	r.memory = float64(used.Maxrss) / 1024
	found, err := p.found(out, j)
	if err != nil {
		return row{}, fmt.Errorf("%s: %w", p.name, err)
	}
	r.recall, r.invents = judge(found, j)
	return r, nil
}

// tail keeps the end of what a program says.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	*t = (*t)[max(0, len(*t)-500):]
	return len(b), nil
}

// watch counts what arrives until the program has ended, and returns the rate
// between the first and the last hundredth of the expected packets, and the most
// memory of its own that the program had.
func (l *lab) watch(before, expected uint64, pid int, ended <-chan error) (rate, private float64, err error) {
	flow := flow{expected: expected}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ticks := 0; ; ticks++ {
		select {
		case err := <-ended:
			return flow.rate(), private, err
		case <-tick.C:
		}
		n, err := l.received()
		if err != nil {
			return 0, 0, err
		}
		flow.see(time.Now(), n-before)
		if ticks%4 == 0 {
			private = max(private, kibibytes(field(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:"))/1024)
		}
	}
}

// flow is how packets arrived.
type flow struct {
	expected        uint64
	first, last     time.Time
	atFirst, atLast uint64
}

// see notes that n packets had arrived at a moment.
func (f *flow) see(at time.Time, n uint64) {
	switch {
	case n < f.expected/100:
	case f.first.IsZero():
		f.first, f.atFirst = at, n
	case n <= f.expected-f.expected/100:
		f.last, f.atLast = at, n
	}
}

// rate is that between the first and the last hundredth of the expected packets,
// 0 when too few were seen.
func (f *flow) rate() float64 {
	took := f.last.Sub(f.first)
	if took <= 0 {
		return 0
	}
	return float64(f.atLast-f.atFirst) / took.Seconds()
}

// kibibytes reads "1234 kB" as /proc writes it, 0 for anything else.
func kibibytes(text string) float64 {
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || unit != "kB" {
		return 0
	}
	return n
}

// judge holds what was found against what there is.
func judge(found map[string]bool, j job) (recall float64, invents int) {
	block := netip.MustParsePrefix(j.targets)
	all, hit := 0, 0
	for _, h := range hosts() {
		if !block.Contains(netip.MustParseAddr(h)) {
			continue
		}
		for _, port := range openPorts() {
			all++
			if found[h+" "+strconv.Itoa(port)] {
				hit++
			}
		}
	}
	if all == 0 {
		return -1, len(found)
	}
	return float64(hit) / float64(all), len(found) - hit
}
