package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Notices writes the licences of all modules with their texts, each text once:
// what those licences ask of who passes a binary on.
func Notices(modules []Module) []byte {
	type text struct {
		of   []string
		data []byte
	}
	var b bytes.Buffer
	b.WriteString("dormant is linked with the modules below. Their licences and notices follow in full.\n\n")
	at, texts := map[[32]byte]int{}, []text(nil)
	for _, m := range union(modules) {
		fmt.Fprintf(&b, "%s %s: %s\n", m.Path, m.Version, strings.Join(m.IDs(), " AND "))
		for _, t := range m.Texts {
			sum := sha256.Sum256(t.Text)
			i, ok := at[sum]
			if !ok {
				i = len(texts)
				at[sum] = i
				texts = append(texts, text{data: t.Text})
			}
			texts[i].of = append(texts[i].of, m.Path+" "+m.Version+" "+t.Name)
		}
	}
	for _, t := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n%s\n\n", strings.Repeat("=", 80), strings.Join(t.of, "\n"), strings.Repeat("=", 80))
		b.Write(bytes.TrimRight(bytes.ReplaceAll(t.data, []byte("\r\n"), []byte("\n")), "\n"))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// union is every module once, with all texts that any binary brought, sorted by
// path and version.
func union(modules []Module) []Module {
	var all []Module
	index := map[string]int{}
	for _, m := range modules {
		key := m.Path + "@" + m.Version
		i, ok := index[key]
		if !ok {
			index[key] = len(all)
			m.Texts = slices.Clone(m.Texts)
			all = append(all, m)
			continue
		}
		for _, t := range m.Texts {
			if !slices.ContainsFunc(all[i].Texts, func(o Text) bool { return o.Name == t.Name }) {
				all[i].Texts = append(all[i].Texts, t)
			}
		}
	}
	for i := range all {
		slices.SortFunc(all[i].Texts, func(a, b Text) int { return cmp.Compare(a.Name, b.Name) })
	}
	slices.SortFunc(all, func(a, b Module) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version, b.Version)) })
	return all
}
