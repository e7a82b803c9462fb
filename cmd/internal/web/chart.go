package web

import (
	"net/url"
	"strings"

	"dormant/fingerprint"
	"dormant/reports"
)

// The charts are drawn on a canvas of 1000 by 200 that the page stretches; all
// words stand beside it, so none of them is stretched.
const (
	chartWidth  = 1000
	chartHeight = 200
)

// bar is a row of a chart of counts.
type bar struct {
	Label, Mark, Path string
	Count             uint64
	Width             int // in thousandths
}

// verdictBars draws what a run found, the gravest first.
func verdictBars(p *point) []bar {
	top := uint64(1)
	for _, n := range p.Tally.Verdicts {
		top = max(top, n)
	}
	var bars []bar
	for _, c := range append(byGravity(), 0) {
		n := p.Count(c)
		if n == 0 {
			continue
		}
		label := words(c.String())
		path := "/findings?run=" + url.QueryEscape(p.Run.ID) + "&verdict=" + c.String()
		if c == 0 {
			label, path = "not identified", ""
		}
		bars = append(bars, bar{Label: label, Mark: reports.MarkOf(c), Path: path, Count: n, Width: max(4, share(n, top))})
	}
	return bars
}

// chart is columns over runs, each of stacked parts; the oldest run first.
type chart struct {
	ID, Title, Desc string
	Top             string // what the height stands for
	From, To        string // the days of the first and the last column
	Columns         []column
	Key             []keyed
}

// column is a run.
type column struct {
	Title string
	Path  string
	Parts []rect
}

type rect struct {
	X, Y, Width, Height int
	Mark                string
}

// keyed is an entry of the legend.
type keyed struct{ Mark, Words string }

// series is one kind of part: its mark, its word and its count in a run.
type series struct {
	mark, words string
	count       func(p *point) uint64
}

// draw makes the chart of the points, which come oldest first.
func draw(id, title string, points []point, parts []series) chart {
	c := chart{ID: id, Title: title}
	if len(points) == 0 {
		return c
	}
	top := uint64(0)
	for i := range points {
		top = max(top, total(&points[i], parts))
	}
	for _, s := range parts {
		c.Key = append(c.Key, keyed{s.mark, s.words})
	}
	if top > 0 { // else the 0 below says it
		c.Top = number(top)
	}
	c.From, c.To = day(&points[0]), day(&points[len(points)-1])
	first, last := total(&points[0], parts), total(&points[len(points)-1], parts)
	c.Desc = plural(len(points), "run") + " from " + c.From + " to " + c.To + ": " + number(first) + " in the first, " + number(last) +
		" in the last, at most " + number(top) + "."
	slot := chartWidth / len(points)
	width := min(slot-min(slot/5, 12), 60) // a few runs are no wall
	step := 0                              // the first column stands above the first day, the last above the last
	if len(points) > 1 {
		step = (chartWidth - width) / (len(points) - 1)
	}
	for i := range points {
		col := column{Title: moment(points[i].Run.Started), Path: "/runs/" + url.PathEscape(points[i].Run.ID)}
		said := []string{}
		y := chartHeight
		for _, s := range parts {
			n := s.count(&points[i])
			said = append(said, s.words+" "+number(n))
			if n == 0 {
				continue
			}
			h := max(2, int(float64(chartHeight-10)*float64(n)/float64(top)))
			y -= h
			col.Parts = append(col.Parts, rect{X: i * step, Y: y, Width: width, Height: h, Mark: s.mark})
		}
		if y == chartHeight { // a run with nothing is a run, too
			col.Parts = append(col.Parts, rect{X: i * step, Y: chartHeight - 2, Width: width, Height: 2, Mark: "zero"})
		}
		col.Title += ": " + strings.Join(said, ", ")
		c.Columns = append(c.Columns, col)
	}
	return c
}

func total(p *point, parts []series) (n uint64) {
	for _, s := range parts {
		n += s.count(p)
	}
	return n
}

func day(p *point) string { return p.Run.Started.UTC().Format("2006-01-02") }

// byVerdict are the parts of the chart of open ports: colours and not verdicts,
// for nine of them cannot be told apart.
func byVerdict() []series {
	sum := func(classes ...fingerprint.Class) func(p *point) uint64 {
		return func(p *point) (n uint64) {
			for _, c := range classes {
				n += p.Count(c)
			}
			return n
		}
	}
	return []series{
		{"m-attention", "possible C2, open shell", sum(fingerprint.PossibleC2, fingerprint.OpenShell)},
		{"m-dev", "development, tunnel", sum(fingerprint.DevServer, fingerprint.TunnelOrProxy)},
		{"m-license", "license manager", sum(fingerprint.LicenseManager)},
		{"m-known", "known service", sum(fingerprint.KnownService)},
		{"m-other", "unnamed, or something in front", sum(fingerprint.Unidentified, fingerprint.Middlebox, fingerprint.Tarpit, 0)},
	}
}
