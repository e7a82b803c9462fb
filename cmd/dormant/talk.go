package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/pflag"

	"dormant/scanner"
)

// fragileFile is the organisation's standing list of hosts that are swept and
// not talked to.
const fragileFile = "/etc/dormant/fragile.txt"

// talkOptions are the flags that say how dialogues go, of scan and identify.
type talkOptions struct {
	deep         bool
	fragileFiles []string
	fragile      *scanner.Spared // read from the files
	lists        []string        // those files, and the standing one if it is there
}

func (o *talkOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.deep, "deep", false, "up to 5 connections to a port instead of 3 (4 where a license manager is registered or nothing is said), and 10 more for a JARM where TLS has no name or a sign of command and control")
	flags.StringArrayVar(&o.fragileFiles, "fragile", nil, "hold no dialogue with the hosts in `FILE`, in any form that a target can have (repeatable; "+fragileFile+" is always read)")
}

// connections bounds those to one port.
func (o *talkOptions) connections() int {
	if o.deep {
		return 5
	}
	return 3
}

// read reads the lists of fragile hosts. It returns usage errors.
func (o *talkOptions) read(ctx context.Context, standing string) error {
	o.lists = nil
	var lists []scanner.List
	var files listFiles
	defer files.close()
	for _, path := range append([]string{standing}, o.fragileFiles...) {
		switch err := files.add(&lists, path); {
		case err == nil:
			o.lists = append(o.lists, path)
		case path != standing || !errors.Is(err, fs.ErrNotExist):
			return usageError("--fragile: %w", err)
		}
	}
	var err error
	o.fragile, err = scanner.ParseSpared(ctx, "fragile host", lists, lookUp)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

// workers is how many hosts are talked to at a time: 10,000 open ports on 2,000
// emulated hosts take 3 minutes with 256, half of that with 512, and the same
// processor time (fingerprint: TestThroughput). Each needs a descriptor, and
// half of those that there are stay with the sweep and the outputs.
func workers(descriptors uint64) int {
	const most, least = 512, 16
	if descriptors == 0 {
		return most / 2
	}
	return int(max(min(descriptors/2, most), least))
}
