package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dormant/reports/history/pgtest"
)

// TestPostgresScripts runs testdata/postgres/*.txtar. $DB is the URL of an empty
// database.
func TestPostgresScripts(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, false)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/postgres",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			ownHome(e)
			e.Setenv("DB", server.Fresh(t))
			return nil
		},
	})
}
