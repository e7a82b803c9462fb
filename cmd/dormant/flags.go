package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
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

func (w *word) Type() string { return strings.Join(w.named(), "|") }

// named is the allowed words without the empty one, which nobody types.
func (w *word) named() []string {
	return slices.DeleteFunc(slices.Clone(w.allowed), func(s string) bool { return s == "" })
}

func (w *word) Set(s string) error {
	if !slices.Contains(w.allowed, s) {
		return fmt.Errorf("want %s", orList(w.named()))
	}
	*w.value = s
	return nil
}

// wanted is what kinds of flags take whose own errors are in the words of Go.
func wanted() map[string]string {
	return map[string]string{
		"uint8": "a small whole number, 0 or more", "uint": "a whole number, 0 or more", "uint64": "a whole number, 0 or more",
		"int": "a whole number", "float64": "a number", "bool": "true or false", "duration": "a time such as 500ms, 30s or 2h",
	}
}

// fault is what a flag says of a value that it does not take.
func fault(bad *pflag.InvalidValueError) error {
	if want, known := wanted()[bad.GetFlag().Value.Type()]; known {
		return errors.New("want " + want)
	}
	return bad.Unwrap()
}

// plainly says of a flag on the command line what was expected.
func plainly(err error) error {
	bad, is := errors.AsType[*pflag.InvalidValueError](err)
	if !is {
		return err
	}
	return fmt.Errorf("invalid argument %q for \"--%s\" flag: %w", bad.GetValue(), bad.GetFlag().Name, fault(bad))
}

// orList joins words as a sentence does: "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
