package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A licence is known by sentences that only it has. A text can hold several.
type licence struct {
	id string // of SPDX
	// all must stand in the text, none of without may. Both are in the form that
	// plain gives.
	all, without []string
}

// licences are those that may be shipped: permissive, with no condition but to
// give their text. 0BSD, Unlicense and CC0 (for data) have not even that.
func licences() []licence {
	const (
		bsd1 = "redistributions of source code must retain the above copyright notice"
		bsd2 = "redistributions in binary form must reproduce the above copyright notice"
		isc  = "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted"
	)
	third := []string{"neither the name", "may not be used to endorse"}
	return []licence{
		{id: "Apache-2.0", all: []string{"apache license version 2 0 january 2004", "terms and conditions for use reproduction and distribution"}},
		{id: "Apache-2.0", all: []string{"licensed under the apache license version 2 0", "unless required by applicable law or agreed to in writing"}},
		{id: "MIT", all: []string{"permission is hereby granted free of charge to any person obtaining a copy of this software and associated documentation files", "shall be included in all copies or substantial portions of the software"}},
		{id: "BSD-2-Clause", all: []string{bsd1, bsd2}, without: third},
		{id: "BSD-3-Clause", all: append([]string{bsd1, bsd2}, third[0])},
		{id: "BSD-3-Clause", all: append([]string{bsd1, bsd2}, third[1]), without: third[:1]},
		{id: "ISC", all: []string{strings.Replace(isc, "and or ", "and ", 1), "appear in all copies"}},
		{id: "ISC", all: []string{isc, "appear in all copies"}},
		{id: "ICU", all: []string{"permission is hereby granted free of charge to any person obtaining a copy of this software and associated documentation files", "this permission notice appear in all copies"}},
		{id: "0BSD", all: []string{isc}, without: []string{"appear in all copies"}},
		{id: "Zlib", all: []string{"altered source versions must be plainly marked as such", "this notice may not be removed or altered from any source distribution"}},
		{id: "Unlicense", all: []string{"this is free and unencumbered software released into the public domain"}},
		{id: "CC0-1.0", all: []string{"cc0 1 0 universal", "affirmer"}},
		{id: "blessing", all: []string{"sqlite is public domain", "dedicated to the public domain by the authors"}},
	}
}

// foreign are words of licences that may not be shipped, in the form of plain.
func foreign() []string {
	return []string{
		"general public license", "mozilla public license", "eclipse public license", "common development and distribution license",
		"server side public license", "business source license", "commons clause", "elastic license", "european union public licence",
		"attribution sharealike", "attribution noncommercial", "non commercial use", "noncommercial use", "non commercial purposes", "noncommercial purposes", "all advertising materials mentioning",
		"open software license", "nmap public source license", "microsoft reciprocal", "osl 3 0", "confidential",
	}
}

// plain is a text in small letters, words with one blank between them.
func plain(text []byte) string {
	return strings.TrimSpace(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(string(text)), " "))
}

// errNoLicence says that no licence was recognised.
var errNoLicence = errors.New("is none of the licences that may be shipped")

// Classify returns the SPDX ids of the licences in a text, sorted. It is an
// error if there is none, or a word of one that may not be shipped.
func Classify(text []byte) ([]string, error) {
	p := plain(text)
	for _, words := range foreign() {
		if strings.Contains(p, words) {
			return nil, fmt.Errorf("says %q", words)
		}
	}
	in := func(words string) bool { return strings.Contains(p, words) }
	var ids []string
	for _, l := range licences() {
		missing := func(words string) bool { return !in(words) }
		if !slices.ContainsFunc(l.all, missing) && !slices.ContainsFunc(l.without, in) {
			ids = append(ids, l.id)
		}
	}
	if len(ids) == 0 {
		return nil, errNoLicence
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
