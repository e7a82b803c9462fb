package registry

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const goodStanza = `sources: {wiki: our wiki}
ports:
  - port: 9000
    title: Own tool
    status: current
    summary: Ours.
    transports:
      - {transport: tcp, speaks: http, standing: evidence, confidence: high, source: wiki}
`

func TestLoadFaults(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string // one edit of goodStanza
		want           string // all faults, a line each
	}{
		{"port beyond range", "9000", "65536", `registry: own.yaml:3: value "65536": want a port number from 1 to 65535`},
		{"port zero", "9000", "0", `registry: own.yaml:3: port "0": want 1 to 65535`},
		{"port is a word", "9000", "http", `registry: own.yaml:3: value "http": want a port number from 1 to 65535`},
		{"unknown key", "title:", "titel:", `registry: own.yaml:4: unknown key "titel": want port, title, label, status, summary, registration, transports, facts, lineage, products, processes, checks, related; did you mean "title"?`},
		{"unknown key below", "{transport: tcp", "{speak: x, transport: tcp", `registry: own.yaml:8: unknown key "speak": want transport, speaks, ask, sign, standing, confidence, source; did you mean "speaks"?`},
		{"no title", "title: Own tool", "label: x", `registry: own.yaml:3: title "": want a text`},
		{"unknown status", "current", "alive", `registry: own.yaml:5: status "alive": want one of ghost, legacy, current`},
		{"unknown transport", "{transport: tcp", "{transport: TCP", `registry: own.yaml:8: transport "TCP": want tcp or udp`},
		{"unknown source", "source: wiki", "source: wikis", `registry: own.yaml:8: source "wikis": want a key of "sources" in the same file`},
		{"two faults", "summary: Ours.\n", "summary: ''\n    processes: [{name: x, standing: evidence, confidence: sure, source: wiki}]\n",
			"registry: own.yaml:6: summary \"\": want a text\n" +
				"registry: own.yaml:7: system \"\": want a text\n" +
				"registry: own.yaml:7: confidence \"sure\": want one of high, medium, low"},
		{"list for text", "title: Own tool", "title: [a, b]", `registry: own.yaml:4: a list: want a text`},
		{"broken YAML", "status: current", "status: [current", `registry: own.yaml:5: did not find expected ',' or ']'`},
		{"no ports", goodStanza, "sources: {wiki: our wiki}\nports: []\n", `registry: own.yaml:2: ports "": want at least one port`},
		{"told twice", goodStanza, goodStanza + goodStanza[strings.Index(goodStanza, "  - port"):],
			`registry: own.yaml:9: port "9000": want a number that is told once, it is already told in own.yaml`},
		{"second document", goodStanza, goodStanza + "---\n" + goodStanza, `registry: own.yaml:9: a second document: want one, without a line "---" inside`},
		{"empty", goodStanza, "", `registry: own.yaml:1: ports "": want at least one port`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodStanza, tt.old, tt.new, 1)
			r, err := Load(fstest.MapFS{"own.yaml": {Data: []byte(text)}})
			if err == nil {
				t.Fatalf("Load = %+v, nil; want the fault %q in\n%s", r, tt.want, text)
			}
			if d := cmp.Diff(tt.want, err.Error()); d != "" {
				t.Errorf("faults (-want +got):\n%s\nof\n%s", d, text)
			}
		})
	}
	if _, err := Load(fstest.MapFS{"own.yaml": {Data: []byte(goodStanza)}}); err != nil {
		t.Errorf("the unedited stanza: %v, want no fault", err)
	}
	if _, err := Load(fstest.MapFS{"readme.txt": {}}); err == nil {
		t.Error("a folder without dossiers is taken, want an error")
	}
	long := []byte(goodStanza + "#" + strings.Repeat("x", maxFile))
	if _, err := Load(fstest.MapFS{"long.yaml": {Data: long}}); err == nil || err.Error() != "registry: long.yaml: more than 1048576 bytes: want dossiers of ports" {
		t.Errorf("a file without end: %v", err)
	}
}

func TestLoadTellsAllFilesFaults(t *testing.T) {
	_, err := Load(fstest.MapFS{
		"a.yaml": {Data: []byte(strings.Replace(goodStanza, "current", "x", 1))},
		"b.yml":  {Data: []byte(goodStanza)},
	})
	want := `registry: a.yaml:5: status "x": want one of ghost, legacy, current
registry: b.yml:3: port "9000": want a number that is told once, it is already told in a.yaml`
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v\nwant %s", err, want)
	}
}

// FuzzLoad: whatever a user's file holds, Load returns whole dossiers or a
// fault with its file, and never panics.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(goodStanza))
	f.Add([]byte("ports: [{port: 1, facts: [{topic: why}]}]"))
	f.Add([]byte("a: &a [*a]\nports: *a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Load(fstest.MapFS{"own.yaml": {Data: text}})
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "registry: own.yaml:") {
					t.Errorf("fault without its file: %q", line)
				}
			}
			return
		}
		for _, e := range r.Entries() {
			if e.Number == 0 || e.Title == "" || e.Summary == "" || len(e.Transports) == 0 {
				t.Errorf("half a dossier was loaded: %+v", e)
			}
			for _, fact := range e.Facts {
				if fact.Text == "" || fact.Standing == "" {
					t.Errorf("half a fact was loaded: %+v", fact)
				}
			}
		}
	})
}
