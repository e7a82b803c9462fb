package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dormant/reports/history/pgtest"
)

// TestPostgresScripts runs testdata/postgres/*.txtar. $DB is the URL of an empty
// database.
func TestPostgresScripts(t *testing.T) {
	server := pgtest.Start(t, false)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/postgres",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("NO_COLOR", "1")
			e.Setenv("DB", server.Fresh(t))
			return nil
		},
	})
}
