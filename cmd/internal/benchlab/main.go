//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchlab:", err)
		os.Exit(1)
	}
}

// key names a series of runs.
type key struct{ job, peer string }

// measurements is everything that was measured.
type measurements struct {
	jobs  []job
	peers []peer
	rows  map[key][]row
}

// ours reports whether p is the program under test.
func (p peer) ours() bool { return strings.HasPrefix(p.name, "dormant") }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("benchlab", flag.ContinueOnError)
	runs := flags.Int("runs", 5, "how often each program does each job")
	ours := flags.String("dormant", "bin/dormant", "the program under test")
	only := flags.String("jobs", "", "only jobs with one of these words in their name, by comma")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *runs < 1 {
		return fmt.Errorf("-runs %d: want 1 or more", *runs)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("argument %q: want none", flags.Arg(0))
	}
	some, err := choose(*only)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(*ours)
	if err != nil {
		return err
	}
	there, missing := installed(peers(path))
	if len(there) == 0 || !there[0].ours() {
		return fmt.Errorf("%s is not there: make build", *ours)
	}
	for _, name := range missing {
		fmt.Fprintf(stderr, "%s is not installed: left out\n", name)
	}
	dir, err := os.MkdirTemp("", "benchlab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := newLab()
	if err != nil {
		return err
	}
	hosts, err := newResponder(l.far)
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	serve, end := context.WithCancel(ctx)
	serving.Go(func() { hosts.run(serve) }) // ends with serve, below
	defer serving.Wait()
	defer end()

	m := &measurements{jobs: some, peers: there, rows: map[key][]row{}}
	err = m.measure(ctx, l, dir, *runs, stderr)
	if len(m.rows) > 0 { // also where the last run failed: the others took their time
		fmt.Fprintf(stdout, "Medians of alternated runs on a veth pair between two namespaces. %s.\n\n", machine(l))
		m.print(stdout)
	}
	return err
}

// choose returns the jobs whose name holds one of the words, all without words.
// A word that is in no name is an error.
func choose(words string) ([]job, error) {
	if words == "" {
		return jobs(), nil
	}
	chosen := map[string]bool{}
	for word := range strings.SplitSeq(words, ",") {
		known := false
		for _, j := range jobs() {
			if word != "" && strings.Contains(j.name, word) {
				chosen[j.name], known = true, true
			}
		}
		if !known {
			return nil, fmt.Errorf("-jobs %q: %q is in the name of no job: want words of %s", words, word, strings.Join(names(jobs()), "; "))
		}
	}
	return slices.DeleteFunc(jobs(), func(j job) bool { return !chosen[j.name] }), nil
}

func names(jobs []job) (names []string) {
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// measure lets the programs take turns.
func (m *measurements) measure(ctx context.Context, l *lab, dir string, runs int, log io.Writer) error {
	for i := range runs {
		for _, j := range m.jobs {
			for n := range m.peers {
				p := m.peers[n]
				if i%2 == 1 {
					p = m.peers[len(m.peers)-1-n]
				}
				if p.args(j, "", "") == nil {
					continue
				}
				r, err := l.measure(ctx, p, j, dir)
				if err != nil {
					return err
				}
				m.rows[key{j.name, p.name}] = append(m.rows[key{j.name, p.name}], r)
				fmt.Fprintf(log, "run %d of %d: %-34s %-18s %7.0f /s %6.2f s\n", i+1, runs, j.name, p.name, r.rate, r.wall.Seconds())
			}
		}
	}
	return nil
}
