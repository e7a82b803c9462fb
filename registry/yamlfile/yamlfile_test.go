package yamlfile

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type word string

type inner struct {
	Key  word  `yaml:"key"`
	Many []int `yaml:"many"`
}

type outer struct {
	Port  uint16           `yaml:"port"`
	On    bool             `yaml:"on"`
	Text  *string          `yaml:"text"`
	Inner []inner          `yaml:"inner"`
	Named map[string]inner `yaml:"named"`
	inner `yaml:",inline"`
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []Fault
		broken   bool
	}{
		{name: "good", in: "port: 7\nkey: a\ninner: [{key: b, many: [1, 2]}]\n"},
		{name: "unknown key", in: "port: 7\ncolour: red\n", want: []Fault{{2, `unknown key "colour": want port, on, text, inner, named, key, many`}}},
		{name: "unknown key below", in: "inner:\n- {kex: 1}\n", want: []Fault{{2, `unknown key "kex": want key, many; did you mean "key"?`}}},
		{name: "unknown key, letters changed places", in: "inner:\n- {mayn: [1]}\n", want: []Fault{{2, `unknown key "mayn": want key, many; did you mean "many"?`}}},
		{name: "unknown key, an empty one", in: "\"\": 1\n", want: []Fault{{1, `unknown key "": want port, on, text, inner, named, key, many`}}},
		{name: "unknown key in a map", in: "named: {a: {kex: 1}}\n", want: []Fault{{1, `unknown key "kex": want key, many; did you mean "key"?`}}},
		{name: "twice", in: "port: 7\nport: 8\n", want: []Fault{{2, `mapping key "port" already defined at line 1`}}},
		{name: "every kind", in: "port: 65536\non: 7\ntext: [a]\ninner: x\nnamed: [a]\nmany: [one]\n", want: []Fault{
			{1, `value "65536": want a port number from 1 to 65535`},
			{2, `value "7": want true or false`},
			{3, `a list: want a text`},
			{4, `value "x": want a list`},
			{5, `a list: want keys with values`},
			{6, `value "one": want a whole number`},
		}},
		{name: "a long value", in: "port: " + strings.Repeat("x", 80) + "\n",
			want: []Fault{{1, `value "` + strings.Repeat("x", 7) + `...": want a port number from 1 to 65535`}}},
		{name: "keys for a text", in: "text: {a: b}\n", want: []Fault{{1, "keys with values: want a text"}}},
		{name: "a star without quotes", in: "port: 7\nkey: *one*\n", want: []Fault{{2, "a value that begins with * or &: want quotes around it"}}, broken: true},
		{name: "an empty entry", in: "inner:\n- {key: a}\n-   # later\n- {key: b}\n", want: []Fault{{3, "an empty entry: want a value behind the dash"}}, broken: true},
		{name: "an empty entry in one of its own", in: "inner:\n- many:\n  -\n", want: []Fault{{3, "an empty entry: want a value behind the dash"}}, broken: true},
		{name: "an entry below its dash", in: "inner:\n-\n  key: a\n-\n  many:\n  -\n    1\n"},
		{name: "no YAML", in: "key: a\ninner: [b\nport: 7\n", want: []Fault{{2, "did not find expected ',' or ']'"}}, broken: true},
		{name: "no YAML at its end", in: "inner: [", want: []Fault{{1, "did not find expected node content"}}, broken: true},
		{name: "two documents", in: "key: a\n---\nkey: b\n", want: []Fault{{2, `a second document: want one, without a line "---" inside`}}, broken: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Decode([]byte(tt.in), new(outer))
			f, _ := errors.AsType[*Faults](err)
			if f == nil {
				if err != nil || tt.want != nil {
					t.Errorf("Decode = %v, want %v", err, tt.want)
				}
				return
			}
			if d := cmp.Diff(tt.want, f.List); d != "" || f.Broken != tt.broken {
				t.Errorf("broken %v; faults (-want +got):\n%s", f.Broken, d)
			}
		})
	}
}

func TestDecodeNothing(t *testing.T) {
	for _, in := range []string{"", "\n", "# only a remark\n"} {
		if err := Decode([]byte(in), new(outer)); err != io.EOF {
			t.Errorf("Decode(%q) = %v, want io.EOF", in, err)
		}
	}
}

func TestLines(t *testing.T) {
	const text = "port: 1\ninner:\n  - key: a\n  - key: b\n    many:\n      - 1\n      - 2\n"
	for _, tt := range []struct {
		path []any
		want int
	}{
		{nil, 1},
		{[]any{"port"}, 1},
		{[]any{"inner"}, 3},
		{[]any{"inner", 1}, 4},
		{[]any{"inner", 1, "many", 1}, 7},
		{[]any{"inner", 1, "many", 9}, 6},
		{[]any{"inner", 7}, 3},
		{[]any{"not there", "at all"}, 1},
	} {
		if got := NewLines([]byte(text)).Of(tt.path...); got != tt.want {
			t.Errorf("Of(%v) = %d, want %d", tt.path, got, tt.want)
		}
	}
	if got := NewLines([]byte("[")).Of("port"); got != 1 {
		t.Errorf("line in no YAML = %d, want 1", got)
	}
}

// FuzzDecode: whatever it is given, faults have a line of the text, and no name
// of a Go type.
func FuzzDecode(f *testing.F) {
	f.Add("port: 65536\ncolour: red\n")
	f.Add("inner: [\n")
	f.Add("a: &a [*a]\n---\n")
	f.Fuzz(func(t *testing.T, in string) {
		faults, ok := errors.AsType[*Faults](Decode([]byte(in), new(outer)))
		if !ok {
			return
		}
		for _, fault := range faults.List {
			if lines := strings.Count(in, "\n") + strings.Count(in, "\r") + 1; fault.Line < 1 || fault.Line > lines+1 {
				t.Errorf("line %d of %d", fault.Line, lines)
			}
			if strings.Contains(fault.Text, "yamlfile.") && !strings.Contains(in, "yamlfile.") {
				t.Errorf("a Go type in %q", fault.Text)
			}
		}
	})
}
