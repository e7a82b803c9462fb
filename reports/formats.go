package reports

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"dormant/registry"
)

// Options are what a format may want to know. The zero value is a format's
// plain form.
type Options struct {
	// Format is a key of Formats; "" means by the file's extension.
	Format string
	CSV    CSVOptions
	// Run returns the facts of the run. Close calls it for what is true then; a
	// format that streams may also ask when it starts, for what is known by
	// then. Nil when there are none to show.
	Run func() Run
	// Dossier returns what the registry knows of a port, for the formats that
	// explain; (*registry.Registry).Lookup is one. Nil when there is nothing.
	Dossier func(p registry.Port) (registry.Entry, bool)
	// Keep says which findings become rows of a format that is given all of them
	// and has a sheet of rows. Nil means all.
	Keep func(f *Finding) bool
	// Subnets is true when Run will tell what was covered of each subnet, because
	// silent targets do not come as findings.
	Subnets bool
}

func (o Options) run() Run {
	if o.Run == nil {
		return Run{}
	}
	return o.Run()
}

func (o Options) dossier(p registry.Port) (registry.Entry, bool) {
	if o.Dossier == nil {
		return registry.Entry{}, false
	}
	return o.Dossier(p)
}

// Format is one way to write findings.
type Format struct {
	Extensions []string // with the dot, the usual one first; none: only by name
	// All is true for a format that counts what is not open too: it is given
	// every finding, whichever states the user wants as rows.
	All bool
	// Streams is true when memory does not grow with the findings.
	Streams bool
	// New returns a sink that writes to w. It may write at once. The sink's
	// Close does not close w.
	New func(w io.Writer, o Options) (Sink, error)
}

// Formats returns every format by name.
func Formats() map[string]Format {
	return map[string]Format{
		"csv": {Extensions: []string{".csv"}, Streams: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewCSV(w, o.CSV) }},
		"ecs": {Extensions: []string{".ecs.jsonl"}, Streams: true,
			New: func(w io.Writer, _ Options) (Sink, error) { return NewECS(w), nil }},
		"evidence": {Extensions: []string{".evidence.jsonl"}, Streams: true,
			New: func(w io.Writer, _ Options) (Sink, error) { return NewEvidence(w), nil }},
		"coverage": {Extensions: []string{".coverage.csv"}, All: true, Streams: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewCoverage(w, o) }},
		"changes": {Extensions: []string{".changes.csv"}, All: true, Streams: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewChanges(w, o.CSV) }},
		"nmap": {Extensions: []string{".xml"}, Streams: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewNmapXML(w, o) }},
		"markdown": {Extensions: []string{".md", ".markdown"}, All: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewMarkdown(w, o), nil }},
		"xlsx": {Extensions: []string{".xlsx"}, All: true, // rows beyond some megabytes wait on the disk
			New: func(w io.Writer, o Options) (Sink, error) { return NewXLSX(w, o) }},
		"html": {Extensions: []string{".html", ".htm"}, All: true,
			New: func(w io.Writer, o Options) (Sink, error) { return NewHTML(w, o) }},
		"jsonl": {Extensions: []string{".jsonl", ".ndjson"}, Streams: true,
			New: func(w io.Writer, _ Options) (Sink, error) { return NewJSONL(w), nil }},
	}
}

// FormatNames returns the names, sorted.
func FormatNames() []string { return slices.Sorted(maps.Keys(Formats())) }

// FormatOf returns the name of the format that writes path: o.Format if set,
// else by the extension, in any case.
func (o Options) FormatOf(path string) (string, error) {
	if o.Format != "" {
		if _, ok := Formats()[o.Format]; !ok {
			return "", fmt.Errorf("reports: format %q: want one of %s", o.Format, strings.Join(FormatNames(), ", "))
		}
		return o.Format, nil
	}
	var known []string
	lower, best, longest := strings.ToLower(filepath.Base(path)), "", 0
	for name, f := range Formats() {
		for _, ext := range f.Extensions {
			if strings.HasSuffix(lower, ext) && len(ext) > longest { // .ecs.jsonl is not .jsonl
				best, longest = name, len(ext)
			}
		}
		known = append(known, f.Extensions...)
	}
	if best == "" {
		slices.Sort(known)
		return "", fmt.Errorf("reports: output %s: the extension names no format: want %s, or a format by name", path, strings.Join(known, " "))
	}
	return best, nil
}

// File is a sink into a file. The final name stands only after a Close without
// an error.
type File struct {
	file   *atomicFile
	buf    *bufio.Writer
	sink   Sink
	failed error // of a Write: Close must not complete half a report
}

var _ Sink = (*File)(nil)

// OpenFile returns the sink that writes path in the format of o.Format or of
// the extension. It creates the temporary file, so that an output that cannot
// be written is found out now.
func OpenFile(path string, o Options) (*File, error) {
	name, err := o.FormatOf(path)
	if err != nil {
		return nil, err
	}
	a, err := createAtomic(path)
	if err != nil {
		return nil, err
	}
	f := &File{file: a, buf: bufio.NewWriterSize(a, 1<<16)}
	if f.sink, err = Formats()[name].New(f.buf, o); err != nil {
		return nil, errors.Join(err, a.Abort())
	}
	return f, nil
}

// Write gives the finding to the format.
func (f *File) Write(ctx context.Context, finding Finding) error {
	err := f.sink.Write(ctx, finding)
	if err != nil && f.failed == nil {
		f.failed = err
	}
	return err
}

// Close completes the file under its name. After a failed Write it removes what
// was written and returns that error.
func (f *File) Close() error {
	err := f.sink.Close()
	if err == nil {
		err = f.failed
	}
	if err == nil {
		err = f.buf.Flush()
	}
	if err != nil {
		return errors.Join(err, f.file.Abort())
	}
	return f.file.Commit()
}

// Abort gives the output up and leaves what stood under the name. It takes the
// place of Close.
func (f *File) Abort() error { return f.file.Abort() }
