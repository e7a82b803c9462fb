package main

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestBadPortsChangeNothing(t *testing.T) {
	got := defaultPorts()
	before := slices.Clone(got)
	if err := got.Set("1947,x"); err == nil || !slices.Equal(got, before) {
		t.Errorf("Set = %v, the list is %s; want an error and no change", err, got.String())
	}
}

// The help speaks of numbers and names, not of the types of the program.
func TestHelpNamesNoGoTypes(t *testing.T) {
	for _, cmd := range newRoot(quietApp()).Commands() {
		if !slices.Contains([]string{"scan", "identify"}, cmd.Name()) {
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if name, _ := pflag.UnquoteUsage(f); slices.Contains([]string{"uint", "uint8", "uint64", "int", "float", "float64", "duration"}, name) {
				t.Errorf("%s --%s %s: want a word of the user's", cmd.Name(), f.Name, name)
			}
			if strings.Contains(f.DefValue, "invalid") {
				t.Errorf("%s --%s: the default is said to be %q", cmd.Name(), f.Name, f.DefValue)
			}
		})
	}
}

// quietApp says nothing.
func quietApp() *app {
	return &app{log: slog.New(slog.DiscardHandler), stdout: io.Discard, stderr: io.Discard}
}
