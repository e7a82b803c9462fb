package web

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"dormant/reports"
	"dormant/reports/history"
)

// download is one format of a report, with the word for people.
type download struct{ Format, Words string }

func downloads() []download {
	return []download{
		{"csv", "CSV"}, {"html", "HTML"}, {"xlsx", "XLSX"}, {"jsonl", "JSONL"}, {"markdown", "Markdown"}, {"nmap", "nmap XML"},
		{"ecs", "ECS JSON"}, {"evidence", "evidence"}, {"coverage", "coverage"}, {"changes", "changes"},
	}
}

// kinds of content by the file's ending; the rest is bytes.
func kindOf(ending string) string {
	switch ending {
	case ".csv", ".coverage.csv", ".changes.csv":
		return "text/csv; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case ".md":
		return "text/markdown; charset=utf-8"
	case ".xml":
		return "application/xml"
	case ".jsonl", ".ecs.jsonl", ".evidence.jsonl":
		return "application/x-ndjson"
	default:
		return "application/octet-stream"
	}
}

// download writes a stored run into the answer as a report.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	run, ok := s.findRun(w, r, r.PathValue("run"))
	if !ok {
		return
	}
	name := r.PathValue("format")
	format, known := reports.Formats()[name]
	if !known || len(format.Extensions) == 0 {
		s.fail(w, r, http.StatusNotFound, "There is no report format of that name: want one of "+strings.Join(reports.FormatNames(), ", ")+".")
		return
	}
	select {
	case s.downloads <- struct{}{}:
		defer func() { <-s.downloads }()
	default:
		w.Header().Set("Retry-After", "10")
		s.fail(w, r, http.StatusServiceUnavailable, "Several reports are being made at the moment. Try again in a little while.")
		return
	}
	ending := format.Extensions[0]
	h := w.Header()
	h.Set("Content-Type", kindOf(ending))
	h.Set("Content-Disposition", `attachment; filename="`+fileName(&run)+ending+`"`)
	h.Set("Content-Security-Policy", contentPolicy+"; sandbox") // of a report that is opened in spite of it
	if r.Method == http.MethodHead {
		return
	}
	out := &patient{control: http.NewResponseController(w), w: w}
	if err := s.write(r.Context(), out, run, format, r.FormValue("states") == "all"); err != nil {
		if r.Context().Err() == nil {
			s.config.Log.Error("a report could not be sent", "run", run.ID, "format", name, "err", err)
		}
		out.cut()
	}
}

// fileName is the run's id, site and day, of what is safe in a file name.
func fileName(r *history.Run) string {
	name := "dormant-" + r.Started.UTC().Format("20060102-1504")
	for _, part := range []string{r.Site, r.Vantage} {
		if part != "" {
			name += "-" + part
		}
	}
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' {
			return c
		}
		return '_'
	}, name)
}

// write renders the run, with what changed since the run before it.
func (s *Server) write(ctx context.Context, out *patient, run history.Run, format reports.Format, all bool) error {
	buf := bufio.NewWriterSize(out, 1<<16)
	o := reports.Options{
		Run: func() reports.Run { return run.Facts }, Dossier: s.config.Registry.Lookup, Subnets: len(run.Facts.Scan.Subnets) > 0,
	}
	if !all {
		o.Keep = reports.OpenOnly
	}
	sink, err := format.New(buf, o)
	if err != nil {
		return err
	}
	if !all && !format.All {
		sink = reports.Filter(sink, reports.OpenOnly)
	}
	var failed error
	sorted := reports.NewSorted(&gate{next: s.config.Store.Annotate(run, sink), shut: func() error { return errors.Join(failed, ctx.Err()) }}, "")
	failed = s.config.Store.Findings(ctx, run, func(f reports.Finding) error { return sorted.Write(ctx, f) })
	if err := errors.Join(failed, sorted.Close()); err != nil {
		return err
	}
	return buf.Flush()
}

// gate stands behind the sorter, which gives on what it has whatever happened:
// nothing passes once reading failed or nobody waits for the report any more.
type gate struct {
	next reports.Sink
	shut func() error
}

// Write passes the finding on while the gate is open.
func (g *gate) Write(ctx context.Context, f reports.Finding) error {
	if err := g.shut(); err != nil {
		return err
	}
	return g.next.Write(ctx, f)
}

// Close closes what stands behind, which may then say what is missing.
func (g *gate) Close() error { return errors.Join(g.shut(), g.next.Close()) }

// patient gives the reader time for each piece instead of for the whole.
type patient struct {
	control *http.ResponseController
	w       http.ResponseWriter
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

// cut ends the connection where it is, so that the other side sees that the rest
// is missing.
func (p *patient) cut() {
	p.control.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // it is cut already
	p.control.Flush()                           //nolint:errcheck // it fails: that is what it is for
}
