package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"dormant/registry"
)

// TestDossiersAreWhole: whatever a dossier says is on its page, within the
// width except for commands, which must stay copyable, and plain without colour.
func TestDossiersAreWhole(t *testing.T) {
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range reg.Entries() {
		commands := map[string]bool{}
		for _, c := range e.Checks {
			commands["    "+c.Command] = true
		}
		for _, columns := range []int{60, 80, 100} {
			var out strings.Builder
			if err := writeDossier(&out, "", view(reg, portArg{number: e.Number}), columns, false); err != nil {
				t.Fatal(err)
			}
			page := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range texts(e) {
				if !strings.Contains(page, strings.Join(strings.Fields(want), " ")) {
					t.Errorf("%d at %d columns: not on the page: %q", e.Number, columns, want)
				}
			}
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if utf8.RuneCountInString(line) > columns && !commands[line] {
					t.Errorf("%d at %d columns: a line of %d: %q", e.Number, columns, utf8.RuneCountInString(line), line)
				}
			}
			if strings.Contains(out.String(), "\x1b") {
				t.Errorf("%d: an escape sequence without colour", e.Number)
			}
		}
	}
}

// texts are all statements of a dossier.
func texts(e registry.Entry) []string {
	all := []string{e.Title, e.Summary}
	for _, f := range e.Facts {
		all = append(all, f.Text, f.Source)
	}
	for _, ev := range e.Lineage {
		all = append(all, ev.Date, ev.Text)
	}
	for _, p := range e.Products {
		all = append(all, p.Name, p.Note, strings.Join(p.Ports, ", "))
	}
	for _, p := range e.Processes {
		all = append(all, p.Name, p.System, p.Note)
	}
	for _, c := range e.Checks {
		all = append(all, c.Command, c.Note)
	}
	for _, tr := range e.Transports {
		all = append(all, tr.Speaks, tr.Ask, tr.Sign)
	}
	for _, r := range e.Related {
		all = append(all, r.Port, r.Text)
	}
	return all
}

func TestColourIsOnlyBold(t *testing.T) {
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	var plain, bold strings.Builder
	v := view(reg, portArg{number: 3588})
	if err := writeDossier(&plain, "", v, 80, false); err != nil {
		t.Fatal(err)
	}
	if err := writeDossier(&bold, "", v, 80, true); err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "").Replace(bold.String())
	if got != plain.String() || bold.Len() == plain.Len() {
		t.Error("with colour the page is not the plain page with bold letters")
	}
}

func TestInert(t *testing.T) {
	for in, want := range map[string]string{"": "", "http": "http", "=1+1": "'=1+1", "+x": "'+x", "-x": "'-x", "@x": "'@x", "a=b": "a=b"} {
		if got := inert(in); got != want {
			t.Errorf("inert(%q) = %q, want %q", in, got, want)
		}
	}
}
