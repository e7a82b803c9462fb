package reports

import (
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"dormant/registry"
	"dormant/scanner"
)

// attention writes what a person should look at, the gravest first.
func (x *XLSX) attention() error {
	header := []string{"target", "reason", "what it is", "evidence", "what else it could be", "what to do", "owner", "ticket", "note"}
	s, err := x.newSheet("Attention", header, []float64{24, 24, 36, 36, 30, 60, 16, 16, 80})
	if err != nil {
		return err
	}
	rows := x.urgent.all()
	slices.SortStableFunc(rows, func(a, b urgent) int { return a.gravity - b.gravity })
	for _, u := range rows {
		if err := s.addWrapped(x.styles.wrap, u.row); err != nil {
			return err
		}
	}
	if x.urgent.more > 0 {
		if err := s.add([]any{"and " + number(x.urgent.more) + " more, in the sheet Findings"}); err != nil {
			return err
		}
	}
	return s.finish()
}

// onPages makes a sheet that is so many characters wide, and prints in the width of
// a page. The sheets of findings have too many columns for that, and take some.
func (x *XLSX) onPages(name string, width float64) error {
	if _, err := x.book.NewSheet(name); err != nil { // it may be there already
		return err
	}
	landscape, fit, across, down := "landscape", true, 1, 0
	if width > 330 { // less than half of the size on one page
		across = int(math.Ceil(width / 190))
	}
	if err := x.book.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: &fit}); err != nil {
		return err
	}
	return x.book.SetPageLayout(name, &excelize.PageLayoutOptions{Orientation: &landscape, FitToWidth: &across, FitToHeight: &down})
}

// order brings the sheets in the order of the questions: what was found, by
// verdict, what was covered, what changed. The last one was begun with the
// findings. The library's own MoveSheet is not for streams: it reads all sheets
// into memory, and panics on one that waits in a file. Names for a sheet hold its
// place, so the head that each printed page repeats is named here.
func (x *XLSX) order() error {
	sheets := x.book.WorkBook.Sheets.Sheet
	sort.SliceStable(sheets, func(i, k int) bool { return sheets[i].Name != changesName && sheets[k].Name == changesName })
	for _, s := range sheets[1:] { // the summary has no head
		head := &excelize.DefinedName{Name: "_xlnm.Print_Titles", RefersTo: "'" + s.Name + "'!$1:$1", Scope: s.Name}
		if err := x.book.SetDefinedName(head); err != nil {
			return err
		}
	}
	return nil
}

// verdicts writes the sheet that counts by verdict.
func (x *XLSX) verdicts() error {
	s, err := x.newSheet("By verdict", []string{"verdict", "open ports", "what it means"}, []float64{20, 12, 100})
	if err != nil {
		return err
	}
	for _, c := range byGravity() {
		if n := x.tally.verdicts[c]; n > 0 {
			e := explain(&Finding{Verdict: c, State: scanner.Open})
			if err := s.add([]any{className(c), n, e.Title + ". " + e.Why}); err != nil {
				return err
			}
		}
	}
	return s.finish()
}

// coverage writes the sheet that counts states by port, and of the whole run.
// Where the targets of a state came as a number only, the ports do not have it.
func (x *XLSX) coverage() error {
	scan := x.o.run().Scan
	states := []struct {
		state scanner.State
		run   uint64 // what the engine counted
	}{
		{scanner.Open, scan.Open}, {scanner.Closed, scan.Closed}, {scanner.Filtered, scan.Filtered}, {scanner.OpenFiltered, scan.OpenFiltered},
		{scanner.Unreachable, scan.Unreachable}, {scanner.Unknown, scan.Unknown},
	}
	header := []string{"port", "transport", "registered for"}
	for _, s := range states {
		header = append(header, s.state.String())
	}
	s, err := x.newSheet("Coverage", header, []float64{10, 12, 36, 14, 14, 14, 14, 14, 14})
	if err != nil {
		return err
	}
	for _, p := range x.tally.sortedPorts() {
		row := []any{int(p.Number), p.Proto.String(), x.registered(p)}
		for _, s := range states {
			var n any
			if s.run <= x.tally.states[s.state] {
				n = x.tally.ports[p].states[s.state]
			}
			row = append(row, n)
		}
		if err := s.add(row); err != nil {
			return err
		}
	}
	all := []any{nil, nil, "all ports"}
	for _, s := range states {
		all = append(all, max(s.run, x.tally.states[s.state]))
	}
	if err := s.add(all); err != nil {
		return err
	}
	return s.finish()
}

func (x *XLSX) registered(p registry.Port) string {
	e, _ := x.o.dossier(p)
	return escape(e.Title, maxText)
}

// summary fills the first sheet: the answer, the run, what was not covered.
func (x *XLSX) summary() error {
	run := x.o.run()
	rows := [][]any{
		{"Answer", x.tally.answer(&run)}, {"Coverage", run.Coverage()}, {"Run", run.ScanID}, {"Site", run.Site}, {"Seen from", run.Vantage},
		{"Ticket", run.Ticket}, {"Targets", strings.Join(run.Targets, " ")}, {"Excluded", strings.Join(run.Excluded, " ")},
		{"Ports", strings.Join(run.Ports, " ")}, {"Started", moment(run.Scan.Started)}, {"Finished", moment(run.Scan.Finished)},
		{"Program", "dormant " + run.Version},
	}
	for _, why := range run.Reasons() {
		rows = append(rows, []any{"Incomplete", why})
	}
	for _, g := range gaps(&run, x.tally) {
		rows = append(rows, []any{"Not covered", g.Value + " " + g.Name})
	}
	const width = 110 // characters
	for i, row := range rows {
		for k := range row {
			row[k] = escape(row[k].(string), 32_000) // a cell holds 32,767 characters
		}
		if err := x.book.SetRowHeight("Summary", i+1, heightOf(row[1].(string), width)); err != nil {
			return err
		}
		if err := x.book.SetSheetRow("Summary", "A"+strconv.Itoa(i+1), &row); err != nil {
			return err
		}
	}
	if err := x.onPages("Summary", width); err != nil {
		return err
	}
	if err := x.book.SetColWidth("Summary", "A", "A", 14); err != nil {
		return err
	}
	if err := x.book.SetColWidth("Summary", "B", "B", width); err != nil {
		return err
	}
	return x.book.SetCellStyle("Summary", "A1", "B"+strconv.Itoa(len(rows)), x.styles.wrap)
}
