package main

import (
	"fmt"
	"slices"
	"strings"
)

// word is a flag value that takes one of a few words. It implements pflag.Value.
type word struct {
	value   *string
	allowed []string
}

// oneOf makes a flag value of which the first word is the default.
func oneOf(value *string, allowed ...string) *word {
	*value = allowed[0]
	return &word{value, allowed}
}

func (w *word) String() string {
	if w.value == nil {
		return ""
	}
	return *w.value
}

func (w *word) Type() string { return strings.Join(w.allowed, "|") }

func (w *word) Set(s string) error {
	if !slices.Contains(w.allowed, s) {
		return fmt.Errorf("want %s", orList(w.allowed))
	}
	*w.value = s
	return nil
}

// orList joins words as a sentence does: "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
