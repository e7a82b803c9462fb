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
	"strings"
	"sync"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
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

	m := &measurements{jobs: choose(*only), peers: there, rows: map[key][]row{}}
	if err := m.measure(ctx, l, dir, *runs, stderr); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Medians of %d alternated runs on a veth pair between two namespaces. %s.\n\n", *runs, machine(l))
	m.print(stdout)
	return nil
}

// choose returns the jobs whose name holds one of the words, all without words.
func choose(words string) (some []job) {
	for _, j := range jobs() {
		for word := range strings.SplitSeq(words, ",") {
			if strings.Contains(j.name, word) {
				some = append(some, j)
				break
			}
		}
	}
	return some
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
