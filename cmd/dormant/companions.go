package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dormant/reports"
)

// outputOptions are the flags of everything that writes findings. A resumed run
// takes them over as they were given, so what follows from them is computed and
// never put back into them.
type outputOptions struct {
	outputs    []string
	format     string
	states     string
	companions bool
	csv        csvOptions
	// uncompared is set when no history tells of changes: then no companion does.
	uncompared bool
}

// csvOptions are the flags about the form of CSV.
type csvOptions struct {
	columns   []string
	delimiter string
	bom       bool
	preset    string
}

func (o *outputOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write findings to `FILE`, format by its ending, - is stdout (repeatable)")
	flags.Var(oneOf(&o.format, slices.Concat([]string{"", "table"}, reports.FormatNames())...), "format", "`FORMAT` on stdout instead of the table: table, "+strings.Join(reports.FormatNames(), ", "))
	flags.Var(oneOf(&o.states, "open", "all"), "states", "rows for open ports only, or for every target")
	flags.BoolVar(&o.companions, "companions", false, "beside the first output, NAME.csv, also write NAME.coverage.csv, NAME.changes.csv, NAME.evidence.jsonl and NAME.manifest.json")
	flags.StringSliceVar(&o.csv.columns, "csv-columns", nil, "the `COLUMNS` of CSV and their order: ip,port,verdict,… (default all)")
	flags.StringVar(&o.csv.delimiter, "csv-delimiter", "", "delimiter of CSV: , ; | or tab (default , or the preset's)")
	flags.BoolVar(&o.csv.bom, "csv-bom", false, "begin CSV with a byte order mark")
	flags.Var(oneOf(&o.csv.preset, slices.Concat([]string{""}, reports.Presets())...), "csv-preset", "columns and delimiter of another `PROGRAM`'s CSV: "+orList(reports.Presets()))
}

// read returns how CSV is to be written. It returns usage errors.
func (c *csvOptions) read() (reports.CSVOptions, error) {
	o := reports.CSVOptions{BOM: c.bom, Columns: c.columns, Preset: c.preset}
	var err error
	if c.delimiter != "" {
		if o.Comma, err = reports.ParseComma(c.delimiter); err != nil {
			return o, usageError("--csv-delimiter: %w", err)
		}
	}
	if err := o.Check(); err != nil {
		return o, usageError("--csv-columns, --csv-preset: %w", err)
	}
	return o, nil
}

// paths are the outputs with their companions. It returns usage errors.
func (o *outputOptions) paths() ([]string, error) {
	stem, err := o.stem()
	if err != nil || stem == "" {
		return o.outputs, err
	}
	all := slices.Clone(o.outputs)
	for _, ending := range []string{".coverage.csv", ".changes.csv", ".evidence.jsonl"} {
		if !slices.Contains(all, stem+ending) && (ending != ".changes.csv" || !o.uncompared) {
			all = append(all, stem+ending)
		}
	}
	return all, nil
}

// withoutHistory refuses an output of changes: it would read as if there were none.
func (o *outputOptions) withoutHistory() error {
	o.uncompared = true
	if o.needs("changes") {
		return usageError("an output of changes wants a history to compare with: leave that output out, or give a --db")
	}
	return nil
}

// stem is what the names of the companions begin with, "" when there are none.
func (o *outputOptions) stem() (string, error) {
	if !o.companions {
		return "", nil
	}
	for _, path := range o.outputs {
		if path == "-" {
			continue
		}
		format, err := (reports.Options{}).FormatOf(path)
		if err != nil {
			return "", &exitError{exitUsage, err}
		}
		for _, ending := range reports.Formats()[format].Extensions {
			if strings.HasSuffix(strings.ToLower(filepath.Base(path)), ending) {
				return path[:len(path)-len(ending)], nil
			}
		}
	}
	return "", usageError("--companions: want an --output FILE to stand beside")
}

// needs reports whether an output is of the named format.
func (o *outputOptions) needs(format string) bool {
	if o.format == format {
		return true
	}
	paths, err := o.paths()
	return err == nil && slices.ContainsFunc(paths, func(path string) bool { // err: said when the outputs are opened
		name, err := (reports.Options{}).FormatOf(path)
		return err == nil && name == format
	})
}
