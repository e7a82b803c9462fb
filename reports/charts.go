package reports

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/scanner"
)

// bar is one row of a chart: stacked parts on a scale of 0 to 1000.
type bar struct {
	Label, Query string // Query: what the table's filter takes
	Total        string
	Words        string // the row for those who hear it
	Parts        []part
}

// part is one rectangle of a bar.
type part struct {
	X, Width int
	Mark     string
	Title    string
}

// verdictBars returns one bar for each verdict that occurs, the gravest first.
func verdictBars(t *tally) []bar {
	top := uint64(1)
	for _, n := range t.verdicts {
		top = max(top, n)
	}
	var bars []bar
	for _, c := range byGravity() {
		n := t.verdicts[c]
		if n == 0 {
			continue
		}
		label := className(c)
		bars = append(bars, bar{
			Label: label, Query: label, Total: number(n), Words: label + ": " + plural(n, "open port"),
			Parts: []part{{Width: share(n, top), Mark: MarkOf(c), Title: label + ": " + number(n)}},
		})
	}
	return bars
}

// portBars returns one bar for each port with anything open, stacked by verdict.
func portBars(t *tally) []bar {
	top := uint64(1)
	for _, p := range t.ports {
		top = max(top, p.states[scanner.Open])
	}
	var bars []bar
	for _, key := range t.sortedPorts() {
		p := t.ports[key]
		open := p.states[scanner.Open]
		if open == 0 {
			continue
		}
		b := bar{Label: key.String(), Query: key.String(), Total: number(open)}
		var words []string
		for _, c := range byGravity() {
			n := p.verdicts[c]
			if n == 0 {
				continue
			}
			x := 0
			if len(b.Parts) > 0 {
				last := b.Parts[len(b.Parts)-1]
				x = last.X + last.Width
			}
			title := className(c) + ": " + number(n)
			words = append(words, title)
			b.Parts = append(b.Parts, part{X: x, Width: share(n, top), Mark: MarkOf(c), Title: key.String() + ", " + title})
		}
		b.Words = key.String() + ": " + strings.Join(words, ", ")
		if len(bars) == 40 { // a run over all ports is not a chart
			break
		}
		bars = append(bars, b)
	}
	return bars
}

func share(n, top uint64) int { return max(4, int(1000*n/top)) }

func className(c fingerprint.Class) string {
	if c == 0 {
		return "not identified"
	}
	return strings.ReplaceAll(c.String(), "_", " ")
}

// byGravity returns the classes in the order of the charts.
func byGravity() []fingerprint.Class {
	return []fingerprint.Class{
		fingerprint.PossibleC2, fingerprint.OpenShell, fingerprint.TunnelOrProxy, fingerprint.DevServer, fingerprint.LicenseManager,
		fingerprint.KnownService, fingerprint.Unidentified, fingerprint.Middlebox, fingerprint.Tarpit, 0,
	}
}

// grid is one square of the heat map: 16 by 16 cells.
type grid struct {
	Label string
	Words string
	Cells []heatCell
}

// heatCell is one address, or one network where there are many.
type heatCell struct {
	X, Y  int
	Mark  string
	Title string
	Query string
}

const maxGrids = 12

// heatMap draws each network as a square of its 256 addresses. Where more than
// maxGrids networks answered, a square is 256 networks.
func heatMap(t *tally) (grids []grid, more int) {
	if len(t.networks) > maxGrids {
		return networkMap(t)
	}
	for _, net := range slices.SortedFunc(maps.Keys(t.networks), netip.Prefix.Compare) {
		n := t.networks[net]
		g := grid{Label: net.String()}
		var counts [4]uint64
		base := net.Addr().AsSlice()
		for i, m := range n.marks {
			counts[m]++
			if m == markSilent {
				continue
			}
			base[len(base)-1] = byte(i)
			addr, _ := netip.AddrFromSlice(base) // 4 or 16 bytes, as they came
			g.Cells = append(g.Cells, newCell(i, m, addr.String()+": "+m.words(), addr.String()))
		}
		g.Words = g.Label + ": " + plural(counts[markAttention], "address") + " with something that needs attention, " +
			number(counts[markOpen]) + " with an open port, " + number(counts[markClosed]) + " with none"
		grids = append(grids, g)
	}
	return grids, 0
}

// networkMap draws squares of 256 networks, those with most open ports first.
func networkMap(t *tally) (grids []grid, more int) {
	type square struct {
		open  uint64
		cells [256]mark
		count [256]uint64
	}
	squares := map[netip.Prefix]*square{}
	for net, n := range t.networks {
		super, err := net.Addr().Prefix(net.Bits() - 8)
		if err != nil {
			continue // 16 and 112 are valid lengths
		}
		s := squares[super]
		if s == nil {
			s = new(square)
			squares[super] = s
		}
		b := net.Addr().AsSlice()
		i := b[len(b)-2]
		s.cells[i], s.count[i] = slices.Max(n.marks[:]), n.open
		s.open += n.open
	}
	keys := slices.SortedFunc(maps.Keys(squares), func(a, b netip.Prefix) int {
		if c := cmp.Compare(squares[b].open, squares[a].open); c != 0 {
			return c
		}
		return a.Compare(b)
	})
	more = max(0, len(keys)-maxGrids)
	for _, key := range keys[:len(keys)-more] {
		s := squares[key]
		g := grid{Label: key.String(), Words: key.String() + ": " + plural(s.open, "open port")}
		base := key.Addr().AsSlice()
		for i, m := range s.cells {
			if m == markSilent {
				continue
			}
			base[len(base)-2] = byte(i)
			addr, _ := netip.AddrFromSlice(base)
			net := netip.PrefixFrom(addr, key.Bits()+8)
			query := ""
			if addr.Is4() {
				query = strings.TrimSuffix(addr.String(), "0") // what all of its addresses begin with
			}
			g.Cells = append(g.Cells, newCell(i, m, net.String()+": "+plural(s.count[i], "open port")+", "+m.words(), query))
		}
		grids = append(grids, g)
	}
	return grids, more
}

func newCell(i int, m mark, title, query string) heatCell {
	return heatCell{X: 10 * (i % 16), Y: 10 * (i / 16), Mark: m.class(), Title: title, Query: query}
}

func (m mark) words() string {
	switch m {
	case markAttention:
		return "needs attention"
	case markOpen:
		return "open"
	case markClosed:
		return "answered, nothing open"
	case markSilent:
		return "silent"
	default:
		return ""
	}
}

func (m mark) class() string {
	switch m {
	case markAttention:
		return "attention"
	case markOpen:
		return "open"
	case markClosed, markSilent:
		return "closed"
	default:
		return ""
	}
}
