package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a file. Line counts from 1.
type Fault struct {
	Line int
	Text string
}

// Faults are all that the decoder found, at least one.
type Faults struct {
	List []Fault
	// Broken is true when the text is no YAML, or more than one document. Else
	// all that has a place was decoded, and can be checked further.
	Broken bool
}

// Error lists the faults, a line each.
func (f *Faults) Error() string {
	var lines []string
	for _, fault := range f.List {
		lines = append(lines, fmt.Sprintf("line %d: %s", fault.Line, fault.Text))
	}
	return strings.Join(lines, "\n")
}

// Decode reads text into out, a pointer to a struct with yaml tags. It returns
// io.EOF for a text that holds no document, else nil or a *Faults.
func Decode(text []byte, out any) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(out)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	misfits, typed := errors.AsType[*yaml.TypeError](err)
	switch {
	case typed:
		f := &Faults{}
		for _, said := range misfits.Errors {
			f.List = append(f.List, faultOf(text, said, out))
		}
		return f
	case err != nil:
		return &Faults{List: []Fault{faultOf(text, err.Error(), out)}, Broken: true}
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		more := Fault{Line: max(second.Line, 1), Text: "a second document: want one, without a line \"---\" inside"}
		return &Faults{List: []Fault{more}, Broken: true}
	}
	if line := emptyEntry(text); line > 0 {
		return &Faults{List: []Fault{{Line: line, Text: "an empty entry: want a value behind the dash"}}, Broken: true}
	}
	return nil
}

// emptyEntry returns the line of the first entry of a list that holds nothing, 0
// when there is none. The decoder passes over such an entry, and then counts those
// behind it one too low.
func emptyEntry(text []byte) int {
	if !regexp.MustCompile(`(?m)^[-\s]*-\s*(#.*)?$`).Match(text) { // but what stands below may belong to it
		return 0
	}
	var find func(n *yaml.Node) int
	find = func(n *yaml.Node) int {
		for _, below := range n.Content {
			if n.Kind == yaml.SequenceNode && below.Tag == "!!null" {
				return below.Line
			}
			if line := find(below); line > 0 {
				return line
			}
		}
		return 0
	}
	return find(NewLines(text).root)
}

// faultOf gives what the decoder says the form of ours.
func faultOf(text []byte, said string, out any) Fault {
	position := regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)
	// The decoder counts the lines of its parser's faults from 0, of all others from 1.
	fromZero := regexp.MustCompile(`^did not find expected (',' or|key|'-' indicator|node content|<)`)
	unknown := regexp.MustCompile(`(?s)^field (.*) not found in type (.*)$`)
	wrong := regexp.MustCompile("(?s)^cannot unmarshal (!!seq|!!map)?[^`]*(?:`(.*)`)? into (.*)$") // a tag may hold anything, as %09 is a tabulator
	line := 1
	if m := position.FindStringSubmatch(said); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits, as the pattern says
		said = said[len(m[0]):]
	}
	said = strings.TrimPrefix(said, "yaml: ")
	if fromZero.MatchString(said) {
		line = min(line+1, bytes.Count(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))+1)
	}
	if m := unknown.FindStringSubmatch(said); m != nil {
		keys := keysOf(out, m[2])
		said = fmt.Sprintf("unknown key %q: want %s", Clip(m[1]), strings.Join(keys, ", "))
		if meant := nearest(m[1], keys); meant != "" {
			said += fmt.Sprintf("; did you mean %q?", meant)
		}
	} else if m := wrong.FindStringSubmatch(said); m != nil {
		value := map[string]string{"!!seq": "a list", "!!map": "keys with values"}[m[1]]
		if value == "" {
			value = fmt.Sprintf("value %q", Clip(m[2]))
		}
		said = value + ": want " + wordsFor(out, m[3])
	} else if said == "did not find expected alphabetic or numeric character" { // of an anchor
		said = "a value that begins with * or &: want quotes around it"
	}
	return Fault{Line: line, Text: strings.ReplaceAll(said, "\n", " ")}
}
