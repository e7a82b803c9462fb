package history_test

import (
	"path/filepath"
	"testing"

	"dormant/reports/history"
	"dormant/reports/history/pgtest"
)

// maker returns the name of an empty store.
type maker func(t testing.TB) string

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "new", "h.db") }

// A store is tried in full on a file, and on a database of PostgreSQL.
func TestSQLite(t *testing.T) { runContract(t, newFile) }

func TestPostgres(t *testing.T) {
	server := pgtest.Start(t, false)
	runContract(t, server.Fresh)
	for _, c := range []struct {
		name string
		test func(*testing.T, *pgtest.Server)
	}{
		{"refused", testRefusedDatabases}, {"damaged", testDamagedDatabase}, {"many open it", testManyOpen}, {"session", testSession}, {"compact", testCompact},
		{"restart", testRestart}, {"cut", testCut}, {"away", testAway},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, server) })
	}
}

// runContract tries whatever a history promises.
func runContract(t *testing.T, fresh maker) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *history.Store)
	}{
		{"findings come back", testComeBack}, {"find", testFind}, {"revise and prune", testReviseAndPrune}, {"annotate", testAnnotate},
		{"difference", testDifferenceGolden}, {"repeated", testRepeated}, {"revised and repeated", testRevisedAndRepeated},
		{"pruned while written", testPrunedWhileWritten}, {"pruned while read", testPrunedWhileRead}, {"names", testNames}, {"sightings", testSightings},
		{"diff", testDiff}, {"base", testBase}, {"too many changes", testTooManyChanges}, {"search", testSearch}, {"once", testOnce}, {"once of many", testOnceAll}, {"trend", testTrend}, {"places", testPlaces}, {"history", testHistory}, {"model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t, fresh(t))) })
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, maker)
	}{
		{"two writers", testTwoWriters}, {"killed writer", testKilledWriter}, {"export and import", testExportAndImport},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh) })
	}
}
