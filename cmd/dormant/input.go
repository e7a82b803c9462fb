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
	var files []io.Closer
	defer func() {
		for _, f := range files {
			_ = f.Close() // read only
		}
	}()
	read := false // standard input
	open := func(path string) (scanner.List, error) {
		if path == "-" {
			if read {
				return scanner.List{}, errors.New("standard input is read already, and can be read once only")
			}
			read = true
			return scanner.List{Name: "standard input", Reader: a.stdin}, nil
		}
		f, err := openList(path)
		if err != nil {
			return scanner.List{}, err
		}
		files = append(files, f)
		return scanner.List{Name: path, Reader: f}, nil
	}
	for _, path := range o.targetFiles {
		list, err := open(path)
		if err != nil {
			return nil, usageError("--targets: %w", err)
		}
		spec.TargetLists = append(spec.TargetLists, list)
	}
	for _, path := range o.excludeFiles {
		list, err := open(path)
		if err != nil {
			return nil, usageError("--exclude-file: %w", err)
		}
		spec.ExcludeLists = append(spec.ExcludeLists, list)
	}
	switch list, err := open(standing); {
	case err == nil:
		spec.ExcludeLists = append(spec.ExcludeLists, list)
	case !errors.Is(err, fs.ErrNotExist): // a list that cannot be read must not be passed over
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

// openList opens a file that is read line by line.
func openList(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is a folder: want a file, one target or more a line", path), f.Close())
	}
	return f, nil
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
