package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"dormant/fingerprint"
	"dormant/scanner"
)

// neverScanFile is the organisation's standing list of exclusions.
const neverScanFile = "/etc/dormant/never-scan.txt"

// largest is the number of addresses beyond which --yes is asked for: a /12.
const largest = 1 << 20

// readRanges reads targets and exclusions from the arguments and files.
func readRanges(ctx context.Context, a *app, o *scanOptions, args []string, standing string) (*scanner.Ranges, error) {
	spec := scanner.RangeSpec{
		Targets: args,
		Exclude: o.exclude,
		Lookup:  lookUp,
	}
	files := listFiles{stdin: a.stdin}
	defer files.close()
	for _, path := range o.targetFiles {
		if err := files.add(&spec.TargetLists, path); err != nil {
			return nil, usageError("--targets: %w", err)
		}
	}
	for _, path := range o.excludeFiles {
		if err := files.add(&spec.ExcludeLists, path); err != nil {
			return nil, usageError("--exclude-file: %w", err)
		}
	}
	if err := files.add(&spec.ExcludeLists, standing); err != nil && !errors.Is(err, fs.ErrNotExist) { // one that cannot be read must not be passed over
		return nil, usageError("standing exclusions: %w", err)
	}
	ranges, err := scanner.ParseRanges(ctx, spec)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for _, note := range ranges.Notes() {
		a.log.Info(note)
	}
	if o.yes {
		return ranges, nil
	}
	return ranges, consent(ranges)
}

// lookUp asks the resolver of this host for the addresses of a name.
func lookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// listFiles are open files that are read line by line.
type listFiles struct {
	stdin io.Reader // what - is; nil: a file of that name
	read  bool      // stdin is on a list
	open  []*os.File
}

// add opens a file and adds it to the lists.
func (l *listFiles) add(to *[]scanner.List, path string) error {
	if path == "-" && l.stdin != nil {
		if l.read {
			return errors.New("standard input is read already, and can be read once only")
		}
		l.read = true
		*to = append(*to, scanner.List{Name: "standard input", Reader: l.stdin})
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	l.open = append(l.open, f)
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: want a file, one target or more a line", path)
	}
	*to = append(*to, scanner.List{Name: path, Reader: f})
	return nil
}

func (l *listFiles) close() {
	for _, f := range l.open {
		_ = f.Close() // read only
	}
}

// consent refuses what should be asked for twice.
func consent(r *scanner.Ranges) error {
	if p, public := r.Public(); public {
		return usageError("%v is public address space: scanning hosts that are not yours may be against the law; say --yes if they are", p)
	}
	if n := r.Count(); n > largest {
		return usageError("%d addresses are more than a /12 (%d): say --yes if that is what you mean", n, largest)
	}
	return nil
}

// loadRules returns the fingerprint rules, the user's own above them, with the
// search datagram that the flags ask for.
func loadRules(o *scanOptions) (*fingerprint.Rules, error) {
	rules, err := fingerprint.Default()
	if err != nil {
		return nil, err
	}
	if o.rulesDir != "" {
		if rules, err = rules.Overlay(os.DirFS(o.rulesDir)); err != nil {
			return nil, usageError("--rules %s: %w", o.rulesDir, err)
		}
	}
	if o.noDiscover {
		return rules.WithSearch(nil), nil
	}
	return rules.WithSearch(&fingerprint.LMSearch{Created: cmp.Or(o.created, time.Now()), Number: searchNumber, Host: o.discovery}), nil
}

// searchNumber stands in the search datagram where the recorded one had 30763,
// a small number of unknown meaning.
const searchNumber = 1

// randomSeed is not secret: it only has to differ from run to run.
func randomSeed() uint64 { return rand.Uint64() }
