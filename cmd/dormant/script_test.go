package main

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// sideBySide is how many tests run at once, at least, where -parallel names no
// other number: they wait most of the time, for answers that do not come and for
// a rate, and not for a processor. Those that want each frame of a fast sweep are
// not among them: they call t.Parallel in their parts only, and have the machine
// for themselves.
const sideBySide = 6

// race sets the race detector, in the commands too: by itself it lets each of
// them sleep for a second at its end.
const race = "GORACE"

// TestMain lets the scripts run this very code as the command "dormant".
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(max(sideBySide, runtime.GOMAXPROCS(0)))); err != nil { // -parallel is parsed later
		panic(err)
	}
	if os.Getenv(race) == "" {
		if err := os.Setenv(race, "atexit_sleep_ms=20"); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){
		"dormant": main,
	})
}

// TestScripts runs testdata/script/*.txtar. Every script has a home of its own,
// and reads no configuration of this machine.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			ownHome(e)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, nil
		},
	})
}

// ownHome gives a script a home of its own.
func ownHome(e *testscript.Env) {
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
	e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
	e.Setenv("NO_COLOR", "1")
	e.Setenv(race, os.Getenv(race))
}
