package web_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/reports/sinktest"

	"golang.org/x/net/html"
)

// TestPages asks for every page as a browser without a script would, and for
// what each of them must say.
func TestPages(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := w.login(t)
	for _, tt := range []struct {
		name, path string
		code       int
		want       []string // text of the page, in this order
		not        []string
	}{
		{name: "overview", path: "/", code: 200, want: []string{
			"1 port open against the policy, 1 possible command-and-control listener, 1 open shell, 1 shard that nobody could measure, 1 agent away, 1 fault of the server.",
			"the disk of the state folder has 210 MB left", "2 of 4 of branch/lan, given out 5 times: no space left on device",
			"probe-branch of branch, last seen 47 min ago", "against the policy", "1 of 2", "agents online",
			"Open shell or debug console - needs a person", "10.0.1.21 3588/tcp", "against the policy, open shell", "owner K. Brandt",
			"Possible command-and-control listener", "Under way", "995,328", "of 2,359,296 targets", "branch/lan", "incomplete", "no agent could do 192.168.7.0/24"}},
		{name: "sites", path: "/sites", code: 200, want: []string{"branch", "0 of 1 agent online", "probe-branch", "away", "no space left on device", "1,200 results",
			"3 h behind", "until 2026-12-01 10:00:00: it was not renewed", "hq", "1 of 1 agent online", "probe-hq", "online", "shard 7 of run", "8,123 of 36,864 probes, 12 open", "sends by afpacket", "right", "Certificate until 2027-01-22", "Revoke probe-hq",
			"probe-old", "revoked", "lab", "no agent is enrolled"}, not: []string{"Revoke probe-old"}},
		{name: "jobs", path: "/jobs", code: 200, want: []string{"monthly-hq", "running", "0 3 1 * *", "nightly-branch", "Start now", "in 17 h", "the run that was due at 2026-11-22 03:00:00 was missed: no server was running", "by-hand", "by hand –"}},
		{name: "runs", path: "/runs", code: 200, want: []string{"hq/lan", "running", "26 of 64 done, 1 failed", "hq/dmz", "waiting", "Stored", "2026-11-22 03:00:00", "branch/lan", "nightly-branch", "monthly-hq"}},
		{name: "runs of a site", path: "/runs?site=branch", code: 200, want: []string{"branch/lan", id(12), id(11)}, not: []string{id(9)}},
		{name: "runs from a wrong place", path: "/runs?skip=-1", code: 400, want: []string{"begin at its first page"}},
		{name: "run under way", path: "/runs/" + id(900), code: 200, want: []string{"hq/lan", "job monthly-hq", "Under way", "995,328 of 2,359,296 targets",
			"What is missing so far", "shard 3 was refused by every agent", "10.0.12.0/24 10.0.13.0/24"}},
		{name: "run that is stored", path: "/runs/" + id(9), code: 200, want: []string{"hq/lan", "ports open", "Look at these first", "What answers", "possible c2", "Reports", "CSV", "XLSX",
			"see the difference", "786,432 targets"}},
		{name: "run that is incomplete", path: "/runs/" + id(12), code: 200, want: []string{"Why it is incomplete", "192.168.7.0/24", "no agent could do 192.168.7.0/24"}},
		{name: "no run", path: "/runs/" + id(77), code: 404, want: []string{"There is no run of that name"}},
		{name: "a part of a run's name", path: "/runs/s_0193a5b0", code: 404},
		{name: "the word last", path: "/runs/last", code: 404},
		{name: "findings", path: "/findings", code: 200, want: []string{"in 3 runs: the newest of each place and job", "10.0.1.24", "475/tcp", "known service", "OpenSSH 9.6", "hq/dmz"}},
		{name: "findings by verdict", path: "/findings?verdict=open_shell", code: 200, want: []string{"10.0.1.21", "open shell"}, not: []string{"OpenSSH"}},
		{name: "findings by severity", path: "/findings?severity=high&site=hq", code: 200, want: []string{"10.0.1.21", "10.0.1.23"}, not: []string{"OpenSSH"}},
		{name: "findings by port", path: "/findings?port=5093", code: 200, want: []string{"10.0.1.26", "5093/udp", "2001:db8::5", "5093/tcp"}, not: []string{"OpenSSH"}},
		{name: "findings by subnet", path: "/findings?address=2001:db8::/64&run=" + id(9), code: 200, want: []string{"2001:db8::5", "2001:db8::6"}, not: []string{"10.0.1.2"}},
		{name: "findings by text", path: "/findings?text=vite+403", code: 200, want: []string{"Vite"}, not: []string{"OpenSSH"}},
		{name: "findings by the policy", path: "/findings?expected=yes", code: 200, want: []string{"cad-lic01.corp", "owner CAD team"}, not: []string{"OpenSSH"}},
		{name: "none found", path: "/findings?text=nosuchthing", code: 200, want: []string{"No open port is like that."}},
		{name: "no such site", path: "/findings?site=moon", code: 200, want: []string{"No run of that place has ended."}},
		{name: "wrong verdict", path: "/findings?verdict=evil", code: 400, want: []string{`There is no verdict "evil"`}},
		{name: "wrong severity", path: "/findings?severity=huge", code: 400, want: []string{"want high, medium"}},
		{name: "wrong address", path: "/findings?address=10.0.0", code: 400, want: []string{`"10.0.0" is no address`}},
		{name: "wrong port", path: "/findings?port=0", code: 400, want: []string{`"0" is no port`}},
		{name: "wrong expectation", path: "/findings?expected=maybe", code: 400, want: []string{"Expected is yes, no or unknown"}},
		{name: "wrong page", path: "/findings?after=xyz", code: 400, want: []string{"begin at its first page"}},
		{name: "long text", path: "/findings?text=" + strings.Repeat("x", 101), code: 400, want: []string{"longer than 100"}},
		{name: "breaches", path: "/breaches", code: 200, want: []string{"Against the policy", "10.0.1.21", "owner K. Brandt"}, not: []string{"OpenSSH"}},
		{name: "no breach", path: "/breaches?site=branch", code: 200, want: []string{"No open port is against the policy."}},
		{name: "finding", path: "/runs/" + id(9) + "/10.0.1.23/tcp/3712", code: 200, want: []string{
			"Possible command-and-control listener - needs a person", "What it means", "CN=Major Cobalt Strike", "The own red team", "Evidence",
			"c2-cs-cert", "decided", "weak, and common", "The dialogue", "This port over the runs from here", "open", "not open", "About port 3712"}},
		{name: "finding of IPv6", path: "/runs/" + id(9) + "/2001:db8::5/tcp/5093", code: 200, want: []string{"Tarpit"}},
		{name: "finding of IPv4 in IPv6", path: "/runs/" + id(9) + "/::ffff:10.0.1.23/tcp/3712", code: 200, want: []string{"10.0.1.23"}},
		{name: "not open", path: "/runs/" + id(9) + "/10.0.9.9/tcp/1947", code: 404, want: []string{"is not among the open ports"}},
		{name: "no address", path: "/runs/" + id(9) + "/ten/tcp/1947", code: 404, want: []string{"That is no address"}},
		{name: "changes of the newest", path: "/changes", code: 200, want: []string{"From", "incomplete"}},
		{name: "changes of two", path: "/changes?from=" + id(6) + "&to=" + id(7), code: 200, want: []string{"3 new", "new", "10.0.1.21:3588/tcp", "open shell", "10.0.1.23:3712/tcp"}},
		{name: "changes of one kind", path: "/changes?from=" + id(6) + "&to=" + id(7) + "&kind=gone", code: 200, want: []string{"No difference."}},
		{name: "changes of the first", path: "/changes?to=" + id(1), code: 200, want: []string{"There is no run before"}},
		{name: "changes of nothing", path: "/changes?to=" + id(77), code: 404},
		{name: "trends", path: "/trends", code: 200, want: []string{"branch/lan, job nightly-branch", "hq/dmz, job monthly-hq", "hq/lan", "Open ports by verdict", "9 runs from 2026-02-25 to 2026-10-25", "The numbers"}},
		{name: "trends of a place", path: "/trends?site=hq&vantage=dmz", code: 200, want: []string{"1 run from"}, not: []string{"nightly-branch"}},
		{name: "dead", path: "/dead", code: 200, want: []string{"1 dead shard", "2 of 4", "branch/lan", "192.168.7.0/24", "no space left on device"}},
		{name: "no page", path: "/admin", code: 404, want: []string{"There is no such page."}},
		{name: "no file", path: "/static/x/dormant.css", code: 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.get(t, c, tt.path, nil)
			if got.code != tt.code {
				t.Fatalf("%s: %d, want %d: %s", tt.path, got.code, tt.code, words(t, got.body))
			}
			text := words(t, got.body)
			rest := text
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%s lacks %q, or has it earlier:\n%s", tt.path, want, text)
				}
				rest = after
			}
			for _, not := range tt.not {
				_, main, _ := strings.Cut(text, "Dead shards") // behind the navigation
				if strings.Contains(main, not) {
					t.Errorf("%s has %q:\n%s", tt.path, not, text)
				}
			}
		})
	}
	if strings.Contains(w.log.String(), "could not") {
		t.Errorf("the log says: %s", w.log)
	}
}

// words is what a page says, without its choices and drawings.
func words(t testing.TB, page string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && (n.Data == "select" || n.Data == "head") {
			return
		}
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		for child := range n.ChildNodes() {
			walk(child)
		}
	}
	walk(doc)
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, mark := range []string{".", ",", ":"} {
		text = strings.ReplaceAll(text, " "+mark, mark)
	}
	return text
}

// TestEmpty: a server that never did anything says so on every page.
func TestEmpty(t *testing.T) {
	w := newWorld(t, nil)
	w.fleet.status = fleet.Status{Now: now()}
	c := w.login(t)
	for path, want := range map[string]string{
		"/": "No run has ended yet.", "/sites": "No agent is enrolled", "/jobs": "no job", "/runs": "No run is stored", "/findings": "No run of that place has ended",
		"/breaches": "No run of that place has ended", "/changes": "No run has ended yet.", "/trends": "No run of that place has ended", "/dead": "No dead shard",
	} {
		if got := w.get(t, c, path, nil); got.code != http.StatusOK || !strings.Contains(words(t, got.body), want) {
			t.Errorf("%s: %d, want %q:\n%s", path, got.code, want, words(t, got.body))
		}
	}
}

// TestServerStartedAgain: an agent that has not come back yet was seen before, and
// this server does not know when.
func TestServerStartedAgain(t *testing.T) {
	w := newWorld(t, nil)
	st := status()
	st.Agents[0].LastSeen, st.Agents[0].Last = time.Time{}, fleet.Beat{}
	w.fleet.status = st
	c := w.login(t)
	for path, want := range map[string]string{"/": "not seen since the server began", "/sites": "Last seen not since the server began"} {
		if got := words(t, w.get(t, c, path, nil).body); !strings.Contains(got, want) || strings.Contains(got, "never") {
			t.Errorf("%s: want %q:\n%s", path, want, got)
		}
	}
}

// TestPaging walks through all findings: none is left out and none comes twice.
func TestPaging(t *testing.T) {
	w := newWorld(t, nil)
	f := sinktest.Findings()[4]
	f.Full, f.Dialogue = nil, nil
	all := make([]string, 0, 250)
	for _, run := range []int{1, 2} {
		found := sinktest.Findings()[:0]
		for i := range 125 {
			f.IP = addr(i)
			found = append(found, f)
			all = append(all, id(run)+" "+f.IP.String())
		}
		w.record(t, id(run), fleet.Place{Site: "s", Vantage: string(rune('a' + run))}, "j", now().AddDate(0, 0, run), nil, found)
	}
	c := w.login(t)
	seen := map[string]int{}
	pages, path := 0, "/findings"
	for path != "" {
		page := w.get(t, c, path, nil).body
		next := ""
		for n := range parse(t, page).Descendants() {
			if n.Type != html.ElementNode || n.Data != "a" {
				continue
			}
			href := attr(n, "href")
			if parts := strings.Split(href, "/"); len(parts) == 6 && parts[1] == "runs" {
				seen[parts[2]+" "+parts[3]]++
			}
			if attr(n, "rel") == "next" {
				next = "/findings" + href
			}
		}
		if pages++; pages > 5 {
			t.Fatal("more pages than findings")
		}
		path = next
	}
	for _, one := range all {
		if seen[one] != 1 {
			t.Errorf("%s is listed %d times", one, seen[one])
		}
	}
	if pages != 3 || len(seen) != len(all) {
		t.Errorf("%d pages with %d findings, want 3 with %d", pages, len(seen), len(all))
	}
}

// TestPagingOfRuns walks through all runs, which begin several at a time, one at
// each place of a job: none is left out and none comes twice. What is under way
// stands on the first page alone.
func TestPagingOfRuns(t *testing.T) {
	w := newWorld(t, nil)
	const all = 111
	for i := range all {
		w.record(t, id(i), fleet.Place{Site: string(rune('a' + i%4)), Vantage: "lan"}, "j", now().Add(time.Duration(i/4)*time.Hour), nil, nil)
	}
	c := w.login(t)
	seen, pages := map[string]int{}, 0
	for path := "/runs"; path != ""; pages++ {
		page := w.get(t, c, path, nil).body
		if under := strings.Contains(page, "Under way"); under != (pages == 0) {
			t.Errorf("%s: what is under way is there: %t", path, under)
		}
		path = ""
		for n := range parse(t, page).Descendants() {
			if n.Type != html.ElementNode || n.Data != "a" {
				continue
			}
			if run, ok := strings.CutPrefix(attr(n, "href"), "/findings?run="); ok {
				seen[run]++
			}
			if attr(n, "rel") == "next" {
				path = "/runs" + attr(n, "href")
			}
		}
	}
	for i := range all {
		if seen[id(i)] != 1 {
			t.Errorf("run %d is listed %d times", i, seen[id(i)])
		}
	}
	if pages != 3 {
		t.Errorf("%d pages, want 3", pages)
	}
}

func TestActions(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	c := w.login(t)
	form := url.Values{"seal": {seal(t, w.get(t, c, "/jobs", nil).body)}}
	for _, tt := range []struct {
		path, want string
		code       int
	}{
		{path: "/jobs/by-hand/start", code: http.StatusSeeOther},
		{path: "/jobs/nightly-branch/start", code: http.StatusConflict, want: "was not started: it runs since 03:00"},
		{path: "/jobs/nosuch/start", code: http.StatusNotFound, want: "There is no such job"},
		{path: "/agents/probe-hq/revoke", code: http.StatusSeeOther},
		{path: "/agents/gone/revoke", code: http.StatusConflict, want: "no such agent is enrolled"},
		{path: "/agents/..%2f/revoke", code: http.StatusNotFound, want: "There is no such agent"},
		{path: "/nothing", code: http.StatusMethodNotAllowed, want: "Method Not Allowed"},
	} {
		if got := w.post(t, c, tt.path, form, nil); got.code != tt.code || !strings.Contains(words(t, got.body), tt.want) {
			t.Errorf("POST %s: %d, want %d and %q: %s", tt.path, got.code, tt.code, tt.want, words(t, got.body))
		}
	}
	if got := strings.Join(append(w.fleet.started, w.fleet.revoked...), " "); got != "by-hand probe-hq" {
		t.Errorf("done: %s; want by-hand probe-hq", got)
	}
	for _, want := range []string{`msg="job started from the web page" job=by-hand by=token from=127.0.0.1`, `msg="agent revoked from the web page" agent=probe-hq by=token`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, w.log)
		}
	}
}

// TestDeadShardsDoneAgain: the run that asks again only what was dead takes nothing
// back of what the run before found elsewhere; the next whole run does.
func TestDeadShardsDoneAgain(t *testing.T) {
	w := newWorld(t, nil)
	hq, all := fleet.Place{Site: "hq", Vantage: "lan"}, sinktest.Findings()
	shell, dev := all[1], all[4]
	dev.IP = netip.MustParseAddr("10.0.7.1")
	w.record(t, id(1), hq, "nightly", now().Add(-3*time.Hour), []string{"1 shard was not done: 10.0.7.0/24"}, []reports.Finding{shell})
	w.recordOf(t, []string{"10.0.7.0/24"}, id(2), hq, "nightly", now().Add(-2*time.Hour), nil, []reports.Finding{dev})
	c := w.login(t)
	for _, want := range []string{"1 open shell,", "2 ports open"} {
		if text := words(t, w.get(t, c, "/", nil).body); !strings.Contains(text, want) {
			t.Errorf("the overview lacks %q: %s", want, text)
		}
	}
	if text := words(t, w.get(t, c, "/trends", nil).body); !strings.Contains(text, "1 run from") || !strings.Contains(text, "only what the run before lacks") {
		t.Errorf("the trends fall where a run asked only for a part: %s", text)
	}
	w.record(t, id(3), hq, "nightly", now().Add(-time.Hour), nil, []reports.Finding{dev})
	if text := words(t, w.get(t, c, "/", nil).body); strings.Contains(text, "open shell") || !strings.Contains(text, "1 ports open") {
		t.Errorf("after a whole run the overview has what it did not find: %s", text)
	}
}

// TestTwoJobsSeeOnePort: what two jobs found at one place is there once, as the
// newer of them found it. The newer one has no policy, and takes no breach back.
func TestTwoJobsSeeOnePort(t *testing.T) {
	w := newWorld(t, nil)
	w.month(t)
	shell, dev := sinktest.Findings()[1], sinktest.Findings()[4]
	dev.IP, dev.Port = sinktest.Findings()[2].IP, sinktest.Findings()[2].Port // a dev server stands there now
	w.record(t, id(20), fleet.Place{Site: "hq", Vantage: "lan"}, "weekly-hq", now().Add(-time.Hour), nil, []reports.Finding{shell, dev})
	c := w.login(t)
	for _, tt := range []struct {
		name, path string
		once       []string // exactly once each
		not        []string
	}{
		{"overview", "/", []string{"1 port open against the policy", "1 open shell,", "10.0.1.21 3588/tcp", "against the policy, open shell"}, []string{"possible command-and-control"}},
		{"findings", "/findings?site=hq&vantage=lan", []string{"10.0.1.21 port 3588/tcp", "against the policy, open shell 80 shell (posix) hq/lan weekly-hq, monthly-hq", "10.0.1.23 port 3712/tcp", "listed once"}, []string{"possible c2"}},
		{"what it is", "/findings?verdict=dev_server&address=10.0.1.23", []string{"10.0.1.23 port", "hq/lan weekly-hq, monthly-hq"}, nil},
		{"what it was", "/findings?verdict=possible_c2", []string{"No open port is like that."}, nil},
		{"what it was in that run", "/findings?verdict=possible_c2&run=" + id(9), []string{"10.0.1.23 port"}, []string{"weekly-hq"}},
		{"breaches", "/breaches", []string{"10.0.1.21 port", "owner K. Brandt", "weekly-hq, monthly-hq"}, nil},
		{"its runs", "/runs/" + id(20) + "/10.0.1.21/tcp/3588", []string{"2026-11-22 09:00:00 weekly-hq", "2026-10-25 10:00:00 monthly-hq"}, nil},
	} {
		text := words(t, w.get(t, c, tt.path, nil).body)
		for _, want := range tt.once {
			if n := strings.Count(text, want); n != 1 {
				t.Errorf("%s: %q is there %d times, want once: %s", tt.name, want, n, text)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: %q is there: %s", tt.name, not, text)
			}
		}
	}
	// What was counted together holds until one of them has a newer run.
	for i, want := range []string{"1 open shell,", "1 open shell,", "2 open shells,"} {
		if i == 2 {
			second := shell
			second.IP = addr(77)
			w.record(t, id(21), fleet.Place{Site: "hq", Vantage: "lan"}, "weekly-hq", now(), nil, []reports.Finding{shell, second})
		}
		if text := words(t, w.get(t, c, "/", nil).body); !strings.Contains(text, want) {
			t.Errorf("look %d: the overview lacks %q: %s", i, want, text)
		}
	}
}
