package main

import (
	"slices"

	"github.com/spf13/pflag"

	"dormant/reports/policy"
)

// standing marks a flag whose value is not of the command line, but of the
// environment, the configuration file or the run that is resumed.
const standing = "standing"

// setStanding sets a flag to a value from elsewhere.
func setStanding(flags *pflag.FlagSet, name, value string) error {
	if err := flags.Set(name, value); err != nil {
		return err
	}
	return flags.SetAnnotation(name, standing, nil)
}

// typed reports whether the command line gives the flag another value than its
// default.
func typed(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	_, elsewhere := f.Annotations[standing]
	return f.Changed && !elsewhere && f.Value.String() != f.DefValue
}

// pair is a flag that has no effect beside another one of some values.
type pair struct {
	flag, beside string
	values       []string
}

// idle refuses a flag that was typed and has no effect: whoever types it
// believes that it has. One from elsewhere stands there for other days.
func idle(flags *pflag.FlagSet, pairs ...pair) error {
	for _, p := range pairs {
		value := flags.Lookup(p.beside).Value.String()
		if !typed(flags, p.flag) || !slices.Contains(p.values, value) {
			continue
		}
		if value == "true" {
			return usageError("--%s has no effect beside --%s: leave one of them out", p.flag, p.beside)
		}
		return usageError("--%s has no effect beside --%s %s: leave one of them out", p.flag, p.beside, value)
	}
	return nil
}

// checkFailOn refuses to look for what a sweep without dialogues cannot see: it
// would look like none.
func (s *scan) checkFailOn(f policy.FailOn) error {
	if s.o.noIdentify && (f.Exposed || len(f.Verdicts) > 0 || f.Severity != "") {
		return usageError("--fail-on %s: with --no-identify nothing is told apart: want breach or change, or leave one of them out", s.o.audit.failOn)
	}
	return nil
}

// checkIdle finds the flags of scan that have no effect.
func (s *scan) checkIdle(flags *pflag.FlagSet) error {
	yes := []string{"true"}
	err := idle(flags,
		pair{"xdp-zerocopy", "backend", []string{"afpacket", "connect"}},
		pair{"discovery-name", "no-discovery", yes},
		pair{"deep", "no-identify", yes},
		pair{"db", "no-history", yes},
		pair{"due-every", "no-history", yes},
	)
	if err != nil || s.o.needs("csv") || s.o.needs("changes") {
		return err
	}
	for _, name := range []string{"csv-bom", "csv-columns", "csv-delimiter", "csv-preset"} {
		if typed(flags, name) {
			return usageError("--%s has no effect without an output in CSV: add -o FILE.csv or --format csv, or leave it out", name)
		}
	}
	return nil
}
