package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"

	"dormant/reports"
)

// outputs is everywhere that the findings of a run go. It is a reports.Sink.
type outputs struct {
	sink  reports.Sink // sorts, then gives to all of them
	files []*reports.File
}

var _ reports.Sink = (*outputs)(nil)

// openOutputs opens every output before the first probe, so that one that
// cannot be written is found out in time. Nothing is left behind on an error.
// stage makes the sink between the sorted findings and the formats.
func openOutputs(a *app, o *outputOptions, opts reports.Options, stage func(reports.Sink) reports.Sink) (*outputs, error) {
	out := &outputs{}
	var sinks []reports.Sink
	rows := func(s reports.Sink, format string) reports.Sink {
		if o.states == "all" || reports.Formats()[format].All {
			return s
		}
		return reports.Filter(s, reports.OpenOnly)
	}
	var err error
	if opts.CSV, err = o.csv.read(); err != nil {
		return nil, err
	}
	if o.states != "all" {
		opts.Keep = reports.OpenOnly
	}
	paths, err := o.paths()
	if err != nil {
		return nil, err
	}
	stdout, err := stdoutFormat(a, o)
	if err != nil {
		return nil, err
	}
	switch stdout {
	case "":
	case "table":
		t := reports.NewTable(a.stdout, width(a.stdout), colored(a.stdout))
		t.Run = opts.Run
		sinks = append(sinks, t)
	default:
		w := bufio.NewWriter(a.stdout)
		s, err := reports.Formats()[stdout].New(w, opts)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		sinks = append(sinks, rows(&flushed{s, w}, stdout))
	}
	for i, path := range paths {
		if path == "-" {
			continue
		}
		if slices.ContainsFunc(paths[:i], func(other string) bool { return sameFile(other, path) }) {
			return nil, errors.Join(usageError("--output %s is given twice", path), out.abort())
		}
		format, err := opts.FormatOf(path)
		if err != nil {
			return nil, errors.Join(&exitError{exitUsage, err}, out.abort())
		}
		f, err := openFile(path, opts)
		if err != nil {
			return nil, errors.Join(&exitError{exitUsage, err}, out.abort())
		}
		out.files = append(out.files, f)
		sinks = append(sinks, rows(f, format))
	}
	out.sink = reports.NewSorted(stage(reports.Multi(sinks...)), "")
	return out, nil
}

// openFile opens an output on which there is room to begin with.
func openFile(path string, opts reports.Options) (*reports.File, error) {
	if st, err := os.Stat(path); err != nil || st.Mode().IsRegular() { // who reads from a pipe would take a look at it for the whole
		if err := reports.Check(path); err != nil {
			return nil, err
		}
	}
	return reports.OpenFile(path, opts)
}

// checkFormats finds faults of the outputs without opening them. It returns usage
// errors.
func (o *outputOptions) checkFormats() error {
	if _, err := o.csv.read(); err != nil {
		return err
	}
	if _, err := stdoutFormat(&app{}, o); err != nil {
		return err
	}
	for _, path := range o.outputs {
		if _, err := (reports.Options{}).FormatOf(path); path != "-" && err != nil {
			return &exitError{exitUsage, err}
		}
	}
	return nil
}

// stdoutFormat is what goes to stdout: "table", a format, or "" for nothing.
func stdoutFormat(a *app, o *outputOptions) (string, error) {
	named := slices.Contains(o.outputs, "-")
	switch {
	case o.format == "" && named:
		return "", usageError("--output -: say in which format, with --format")
	case o.format == "table" || o.format == "" && (len(o.outputs) == 0 || !a.quiet):
		return "table", nil
	default:
		return o.format, nil
	}
}

// Write gives the finding to all outputs.
func (out *outputs) Write(ctx context.Context, f reports.Finding) error {
	return out.sink.Write(ctx, f)
}

// Close completes all outputs.
func (out *outputs) Close() error { return out.sink.Close() }

// abort gives up what was opened.
func (out *outputs) abort() error {
	var errs []error
	for _, f := range out.files {
		errs = append(errs, f.Abort())
	}
	return errors.Join(errs...)
}

// flushed is a sink on a buffered writer.
type flushed struct {
	reports.Sink
	w *bufio.Writer
}

// Close completes the output and flushes it. A buffer that could not be written
// says so every time: once is enough.
func (f *flushed) Close() error {
	err := f.Sink.Close()
	if unwritten := f.w.Flush(); !errors.Is(err, unwritten) {
		err = errors.Join(err, unwritten)
	}
	return err
}
