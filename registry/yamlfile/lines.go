package yamlfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// Read reads a file of fsys, but at most one byte more than most: a longer text is
// of a file that is too long. The error names the file.
func Read(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	return text, errors.Join(err, f.Close())
}

// Document parses a text that is to hold one document, for who reads the nodes by
// themselves. It returns nil for a text that holds none, and in more the line of a
// second one, 0 where there is none. The error is the parser's.
func Document(text []byte) (root *yaml.Node, more int, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, 0, err
	}
	if err := d.Decode(&second); err == nil {
		return nil, second.Line, nil
	} else if !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if len(doc.Content) == 0 {
		return nil, 0, nil
	}
	return doc.Content[0], 0, nil
}

// Lines finds the lines of keys in a text that was decoded before. The zero
// value says 1 for everything.
type Lines struct{ root *yaml.Node }

// NewLines parses the text once more.
func NewLines(text []byte) Lines {
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) == 0 {
		return Lines{} // it was decoded before, so it parses
	}
	return Lines{doc.Content[0]}
}

// Of returns the line of what stands at path, keys (string) and indexes (int)
// from the root: of the value, or of the deepest thing above it that is there.
func (l Lines) Of(path ...any) int {
	if l.root == nil {
		return 1
	}
	n, line := l.root, l.root.Line
	for _, step := range path {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := child(n, step)
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return line
}

// child returns the value under a key (string) or an index (int), else nil.
func child(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}
