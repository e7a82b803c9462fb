package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"dormant/reports"
)

//go:embed page
var page embed.FS

// pages are the templates, and the files that they name.
type pages struct {
	set    *template.Template
	assets map[string]asset // by path
	style  string           // its path, with a digest in it: a new version is a new path
	script string
}

type asset struct {
	kind string
	body []byte
}

func loadPages() (*pages, error) {
	set, err := template.New("").Funcs(functions()).ParseFS(page, "page/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: pages: %w", err)
	}
	style, err := reports.Stylesheet()
	if err != nil {
		return nil, fmt.Errorf("web: style: %w", err)
	}
	own, err := page.ReadFile("page/web.css")
	if err != nil {
		return nil, fmt.Errorf("web: style: %w", err)
	}
	script, err := page.ReadFile("page/live.js")
	if err != nil {
		return nil, fmt.Errorf("web: script: %w", err)
	}
	p := &pages{set: set, assets: map[string]asset{}}
	p.style = p.keep("dormant.css", "text/css; charset=utf-8", append(style, own...))
	p.script = p.keep("live.js", "text/javascript; charset=utf-8", script)
	return p, nil
}

func (p *pages) keep(name, kind string, body []byte) string {
	sum := sha256.Sum256(body)
	path := "/static/" + hex.EncodeToString(sum[:8]) + "/" + name
	p.assets[path] = asset{kind, body}
	return path
}

// static serves the style and the script. Nothing in them is secret, and the
// login form needs them.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pages.assets[r.URL.Path]
	if !ok {
		s.fail(w, r, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.Write(a.body) //nolint:errcheck // the browser went away
}

// base is what every page has.
type base struct {
	Title, Here   string // Here: the path of the item in the navigation
	User          string // "" on the pages for nobody
	CanLeave      bool
	Seal          string
	Version       string
	Style, Script string
	Now           time.Time
}

// base fills in what the page has in common with all others.
func (s *Server) base(r *http.Request, title string) base {
	p := who(r.Context())
	b := base{
		Title: title, User: p.Name, CanLeave: p.session != "", Version: s.config.Version,
		Style: s.pages.style, Script: s.pages.script, Now: s.now().UTC(),
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); p.Name != "" {
		b.Here, b.Seal = "/"+first, s.seal.of(p.secret)
	}
	return b
}

// render sends a page. It is made as a whole first, so that a fault in the
// middle is an error and no half page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.set.ExecuteTemplate(&b, name, data); err != nil {
		s.config.Log.Error("a page could not be made", "page", name, "err", err)
		http.Error(w, "The page could not be made; the server's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes()) //nolint:errcheck // the browser went away
	}
}

// failure is the page that says why there is no other.
type failure struct {
	base
	Status int
	Words  string
}

// fail says in one sentence why there is no answer; to a script without HTML.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, words string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, words, status)
		return
	}
	s.render(w, r, status, "failure.html", &failure{base: s.base(r, http.StatusText(status)), Status: status, Words: words})
}

func functions() template.FuncMap {
	return template.FuncMap{
		"number": number, "moment": moment, "ago": ago, "span": span, "line": reports.Line, "words": words,
		"skew": skew, "share": share, "join": func(list []string) string { return strings.Join(list, ", ") },
		"plural": plural, "item": newItem, "place": place, "markOf": reports.MarkOf, "few": few, "printed": printed, "brief": brief,
	}
}

// item is an entry of the navigation.
type item struct {
	Path, Name string
	Current    bool
}

func newItem(path, name, here string) item { return item{path, name, path == here} }

// someOf is the beginning of a long list.
type someOf struct {
	First []netip.Prefix
	Rest  []netip.Prefix // folded away
	More  int            // not on the page at all
}

const (
	shownSubnets  = 12
	foldedSubnets = 500
)

// few cuts a list of subnets to what a page can hold.
func few(all []netip.Prefix) someOf {
	s := someOf{First: all[:min(len(all), shownSubnets)]}
	if rest := all[len(s.First):]; len(rest) > 0 {
		s.Rest = rest[:min(len(rest), foldedSubnets)]
		s.More = len(rest) - len(s.Rest)
	}
	return s
}

// number writes an integer of any type with commas between the thousands.
func number(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is "1 port", "1,200 ports".
func plural(n any, noun string) string {
	if s := number(n); s != "1" {
		return s + " " + noun + "s"
	}
	return "1 " + noun
}

// moment is a time for people; all are UTC, and the page says so once.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// ago says how long before now t was, and for a later one how long until then.
func ago(now, t time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "never"
	case d < -time.Second:
		return "in " + span(-d)
	case d < time.Second:
		return "now"
	default:
		return span(d) + " ago"
	}
}

// span writes a duration as people say it: 820 ms, 12 s, 4 min, 3 h, 5 days.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " days"
	}
}

// skew says how a clock differs from the server's.
func skew(d time.Duration) string {
	switch {
	case d.Abs() < time.Second:
		return "right"
	case d > 0:
		return span(d) + " ahead"
	default:
		return span(-d) + " behind"
	}
}

// share is part of whole in thousandths, for a bar.
func share(part, whole uint64) int {
	if whole == 0 {
		return 0
	}
	return int(1000 * float64(min(part, whole)) / float64(whole))
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// printed keeps what can be printed of a text of several lines' length.
func printed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// maxHeading is how much of a peer's text stands in a heading, in bytes.
const maxHeading = 60

// brief cuts what reports.Line made of a peer's text.
func brief(s string) string {
	if len(s) <= maxHeading {
		return s
	}
	return s[:maxHeading] + "..."
}
