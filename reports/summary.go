package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dormant/scanner"
)

// Run is what is true of a whole run, for the coverage line, the manifest and
// the reports that tell what was not covered. Its texts come from the user or
// the program, not from the network.
type Run struct {
	ScanID  string `json:"scan_id"`
	Site    string `json:"site,omitempty"`
	Vantage string `json:"vantage,omitempty"`
	Ticket  string `json:"ticket,omitempty"`
	Job     string `json:"job,omitempty"` // of a server's schedule; "" is a scan by hand
	Version string `json:"version"`       // of this program
	// Targets, Excluded and Ports are as the user gave them.
	Targets   []string `json:"targets"`
	Excluded  []string `json:"excluded,omitempty"`
	Ports     []string `json:"ports"` // "1947/tcp"
	Backend   string   `json:"backend"`
	Interface string   `json:"interface,omitempty"`
	Seed      uint64   `json:"seed"`
	Shard     string   `json:"shard,omitempty"` // "2/8"; "" is the whole plan
	PlanHash  string   `json:"plan_hash,omitempty"`
	// Scan is the engine's summary, Identify that of the dialogues.
	Scan     scanner.Summary `json:"scan"`
	Identify Identification  `json:"identify"`
	// Interrupted is true after Ctrl-C.
	Interrupted bool `json:"interrupted,omitempty"`
	// Lost counts findings that were observed but could not be passed on.
	Lost uint64 `json:"lost,omitempty"`
	// Why names further reasons that make the run incomplete, beside those of
	// Scan.
	Why []string `json:"why,omitempty"`
}

// Identification counts the dialogues of a run. The zero value means that none
// was held.
type Identification struct {
	Ports         uint64 `json:"ports"` // open ports that a dialogue was due with
	Done          uint64 `json:"done"`
	Refused       uint64 `json:"refused"`
	NoConnect     uint64 `json:"no_connect"`
	Budget        uint64 `json:"budget"`
	Cancelled     uint64 `json:"cancelled"`
	LocalErrors   uint64 `json:"local_errors"`
	Fault         string `json:"fault,omitempty"` // why the first of the LocalErrors was one
	Connections   uint64 `json:"connections"`     // canaries not counted
	Canaries      uint64 `json:"canaries"`
	BytesSent     uint64 `json:"bytes_sent"`
	BytesReceived uint64 `json:"bytes_received"`
	// Fragile counts open ports without a dialogue, because their host is on a
	// list of fragile ones. They are not in Ports.
	Fragile uint64 `json:"fragile,omitempty"`
	// MostConnections counts those to the host that got the most, canaries
	// included. There is never more than one at a time to a host.
	MostConnections uint64 `json:"most_connections_to_a_host"`
	// MostBytesSent is the most bytes that any one host was sent in dialogues, of
	// what they said: without headers.
	MostBytesSent uint64 `json:"most_bytes_sent_to_a_host"`
	// Talked is the time of all dialogues added up; many run at a time.
	Talked time.Duration `json:"talked_ns"`
}

// Complete reports whether everything that was asked for was measured.
func (r *Run) Complete() bool { return r.Scan.Complete && len(r.Reasons()) == 0 }

// Reasons returns what makes the run incomplete, in words; none when it is
// complete.
func (r *Run) Reasons() []string {
	var why []string
	if r.Interrupted {
		why = append(why, "interrupted")
	}
	for _, w := range slices.Concat(r.Scan.Why, r.Why) {
		if !slices.Contains(why, w) { // the sweep, too, says that it was interrupted
			why = append(why, w)
		}
	}
	if r.Lost > 0 {
		why = append(why, plural(r.Lost, "finding")+" lost")
	}
	if n := r.Identify.Cancelled; n > 0 {
		why = append(why, plural(n, "dialogue")+" cut short")
	}
	if n := r.Identify.LocalErrors; n > 0 {
		failed := plural(n, "dialogue") + " failed on this side"
		if r.Identify.Fault != "" {
			failed += ", the first was " + Line(r.Identify.Fault)
		}
		why = append(why, failed)
	}
	if len(why) == 0 && !r.Scan.Complete && !r.Scan.Started.IsZero() {
		why = append(why, "the sweep did not finish")
	}
	return why
}

// Coverage says in one line of words what was asked and how much answered.
func (r *Run) Coverage() string {
	s, why := &r.Scan, r.Reasons()
	switch {
	case s.Targets == 0 && len(why) > 0:
		return "INCOMPLETE: " + strings.Join(why, "; ") + "."
	case s.Targets == 0:
		return "nothing was asked"
	}
	var b strings.Builder
	if r.Shard != "" { // a part, of which complete says nothing about the whole
		b.WriteString("Shard " + r.Shard + ": ")
	}
	fmt.Fprintf(&b, "%s (%s) from %s", plural(s.Targets, "target"), plural(s.Addresses, "address"), r.From())
	if d := s.Finished.Sub(s.Started); d > 0 {
		fmt.Fprintf(&b, " in %s", duration(d))
	}
	if s.HostsAlive == 0 {
		b.WriteString(": nobody answered")
	} else {
		fmt.Fprintf(&b, ": %s answered%s, %s open", plural(s.HostsAlive, "host"), r.twice(), plural(s.Open, "port"))
	}
	for _, c := range []struct {
		n    uint64
		word string
	}{
		{s.Closed, "closed"}, {s.Filtered, "filtered"}, {s.OpenFiltered, "open or filtered"},
		{s.Unreachable, "unreachable"}, {s.Unknown, "not measured"},
	} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %s %s", number(c.n), c.word)
		}
	}
	if len(why) > 0 {
		b.WriteString(". INCOMPLETE: " + strings.Join(why, "; ") + ".")
	} else {
		b.WriteString(". Complete.")
	}
	for _, said := range []string{r.lost(), r.estimate()} {
		if said != "" {
			b.WriteString(" " + said)
		}
	}
	return b.String()
}

// twice says beside the number of hosts that each address is one, where both
// families were asked, else "".
func (r *Run) twice() string {
	six := func(target string) bool { return strings.Count(target, ":") > 1 }
	four := func(target string) bool { return !six(target) && strings.Count(target, ".") > 2 }
	if slices.ContainsFunc(r.Targets, six) && slices.ContainsFunc(r.Targets, four) {
		return " (a machine with IPv4 and IPv6 is two)"
	}
	return ""
}

// lost says what got lost on the way and what asking again has made good, ""
// when nothing did.
func (r *Run) lost() string {
	l := r.Scan.Loss
	if l == nil || l.Late == 0 {
		return ""
	}
	return fmt.Sprintf("About %s of the probes or their answers got lost: %s came only to a retry, the expected recall is %s, retries cost %s more probes.",
		percent(l.Rate), plural(l.Late, "answer"), percent(l.Recall), percent(r.retryCost()))
}

// estimate says what both passes of --estimate have missed, "" without them.
func (r *Run) estimate() string {
	if r.Scan.Estimate == nil {
		return ""
	}
	return "Two passes: " + EstimateLine(*r.Scan.Estimate) + "."
}

// EstimateLine says in words what two passes found, and what neither did.
func EstimateLine(e scanner.Estimate) string {
	return fmt.Sprintf("%s open in the first, %s in the second, %s in both; an estimated %.1f in neither (95%%: %.1f to %.1f)",
		number(e.First), number(e.Second), number(e.Both), e.Missed, e.Low, e.High)
}

// retryCost is how many probes the retries were, as a share of the others.
func (r *Run) retryCost() float64 {
	first := r.Scan.Probes - min(r.Scan.Probes, r.Scan.Retries)
	if first == 0 {
		return 0
	}
	return float64(r.Scan.Retries) / float64(first)
}

// percent writes a share with as many digits as make a difference: a recall of
// 99.994 % is not 100 %, and one above the largest that is written is less, too.
func percent(share float64) string {
	switch p := 100 * share; {
	case p == 0 || p == 100:
		return fmt.Sprintf("%.0f%%", p)
	case p > 99.9999 && p < 100:
		return "over 99.9999%"
	case p > 99 && p < 100:
		return fmt.Sprintf("%.4f%%", p)
	case p < 0.1:
		return fmt.Sprintf("%.2g%%", p)
	default:
		return fmt.Sprintf("%.1f%%", p)
	}
}

// From names the vantage and, where there is one, the site: the same addresses
// at two sites are two networks.
func (r *Run) From() string {
	from := cmp.Or(r.Vantage, "this host")
	if r.Site != "" {
		from += " at site " + r.Site
	}
	return from
}

// WriteText writes the facts of the run for people, one a line.
func (r *Run) WriteText(w io.Writer) error {
	s, id := &r.Scan, &r.Identify
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("run", "%s", r.ScanID)
	line("coverage", "%s", r.Coverage())
	line("targets", "%s", strings.Join(r.Targets, " "))
	if len(r.Excluded) > 0 {
		line("excluded", "%s", strings.Join(r.Excluded, " "))
	}
	line("ports", "%s", strings.Join(r.Ports, " "))
	if s.Started.IsZero() { // a run without an end: nothing was counted yet
		return writeText(w, b.String())
	}
	line("sweep", "%s (%s again: %s more) at %s per second, backend %s, seed %d", plural(s.Probes, "probe"), number(s.Retries),
		percent(r.retryCost()), number(uint64(s.Rate)), r.Backend, r.Seed)
	if l := s.Loss; l != nil {
		line("loss", "%s of probes or answers, by %s of which %s came to a retry; expected recall %s", percent(l.Rate),
			plural(l.Answers, "answer"), number(l.Late), percent(l.Recall))
	}
	if s.Skipped > 0 {
		line("skipped", "%s without a neighbour got no probe", plural(s.Skipped, "target"))
	}
	if id.Ports > 0 {
		line("dialogues", "%s, %s, %s sent and %s received, %s", plural(id.Ports, "port"), plural(id.Connections, "connection"),
			plural(id.BytesSent, "byte"), plural(id.BytesReceived, "byte"), plural(id.Canaries, "canary connect"))
	}
	if s.MostToHost > 0 || id.MostConnections > 0 {
		line("gentleness", "%s", r.gentleness())
	}
	if id.Fragile > 0 {
		line("fragile", "%s open, and not talked to", plural(id.Fragile, "port"))
	}
	c := s.Counters
	line("packets", "%s received, %s not ours, %s duplicate, %s foreign, %s dropped, %s not sent", number(c.Frames),
		number(c.Invalid), number(c.Duplicate), number(c.Foreign), number(c.RingDrops), number(c.SendErrors))
	line("half-open", "at most %s at one time", number(s.MaxHalfOpen))
	if s.Uncounted {
		line("note", "an earlier part was cut short: not all that it sent and received is counted, so these numbers of probes, packets and dialogues are lower bounds")
	}
	for _, note := range s.Notes {
		line("note", "%s", note)
	}
	return writeText(w, b.String())
}

func writeText(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("reports: write summary: %w", err)
	}
	return nil
}

// gentleness says what the host that got the most has got.
func (r *Run) gentleness() string {
	s, id := &r.Scan, &r.Identify
	bound := "at most"
	if s.Uncounted {
		bound = "at least"
	}
	said := fmt.Sprintf("%s %s of %s to one host", bound, plural(s.MostToHost, "probe"), plural(s.MostBytesToHost, "byte"))
	if id.MostConnections > 0 {
		said += fmt.Sprintf(", and %s with %s sent, one at a time", plural(id.MostConnections, "connection"), plural(id.MostBytesSent, "byte"))
	}
	return said
}

// plural is "1 port", "12 ports", "1,048,576 addresses".
func plural(n uint64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return number(n) + " " + noun + "es"
	default:
		return number(n) + " " + noun + "s"
	}
}

// number writes n with commas between the thousands.
func number(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration writes d as people say it: 820ms, 12.3s, 4m05s.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
