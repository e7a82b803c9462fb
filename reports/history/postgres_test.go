package history_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/history/pgtest"
	"dormant/scanner"
)

// The server is stopped and started again in the middle of a run, gently and as
// by a crash: everything is stored, and once.
func testRestart(t *testing.T, server *pgtest.Server) {
	s := open(t, server.Fresh(t))
	history.SetPatience(s, time.Minute)
	facts := reports.Run{ScanID: "s_1", Scan: scanner.Summary{Complete: true}}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	write := func(n int) {
		t.Helper()
		for range n {
			i := len(want)
			v := service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", i/250, i%250), version: "1"}
			if i%5 == 4 {
				v.state = scanner.Closed
			}
			if err := r.Write(t.Context(), v.finding("s_1", day(1))); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		}
	}
	write(3000)
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := server.Stop(how); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { write(3000) }) // it waits in the middle
		time.Sleep(300 * time.Millisecond)
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := s.Find(t.Context(), "s_1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range stored(t, s, run) {
		addr, _, _ := strings.Cut(line, " ")
		got = append(got, addr)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d findings are stored, want %d, each once", len(got), len(want))
	}
	if n, err := history.Details(t.Context(), s); err != nil || n != run.Open || run.Open != 7200 {
		t.Errorf("%d details for %d open ports, %v; want 7200", n, run.Open, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A connection is cut at every statement of a commit in turn, also behind the
// commit itself: whatever was and was not done, everything is stored once.
func testCut(t *testing.T, server *pgtest.Server) {
	for cut := 1; cut <= 9; cut++ {
		cut := cut
		proxy := newCutter(t, filepath.Join(server.Dir, ".s.PGSQL.5432"))
		db := pgtest.Database(server.Fresh(t))
		s := open(t, "postgres:///"+db+"?user=dormant&host="+proxy.dir)
		r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return reports.Run{ScanID: "s_1"} })
		if err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			for i := range 50 {
				v := service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", round, i)}
				if i%2 == 0 {
					v.state = scanner.Closed
				}
				if err := r.Write(t.Context(), v.finding("s_1", day(1))); err != nil {
					t.Fatal(err)
				}
			}
			proxy.after(cut) // answers of the server
			if err := history.Flush(r); err != nil {
				t.Fatalf("cut at answer %d: %v", cut, err)
			}
		}
		proxy.after(0)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		run, err := s.Find(t.Context(), "s_1")
		if err != nil {
			t.Fatal(err)
		}
		if got := stored(t, s, run); len(got) != 100 || run.Open != 50 {
			t.Errorf("cut at answer %d: %d findings are stored, %d of them open; want 100 and 50", cut, len(got), run.Open)
		}
		if n, err := history.Details(t.Context(), s); err != nil || n != 50 {
			t.Errorf("cut at answer %d: %d details, %v; want 50", cut, n, err)
		}
	}
}

// A server that stays away is given up, in one line, and what was stored by then
// stays.
func testAway(t *testing.T, server *pgtest.Server) {
	s := open(t, server.Fresh(t))
	history.SetPatience(s, 300*time.Millisecond)
	r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return reports.Run{ScanID: "s_1"} })
	if err != nil {
		t.Fatal(err)
	}
	write := func(at string) error {
		if err := r.Write(t.Context(), service{at: at}.finding("s_1", day(1))); err != nil {
			t.Fatal(err)
		}
		return history.Flush(r)
	}
	if err := write("10.0.0.1:1947/tcp"); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err = write("10.0.0.2:1947/tcp")
	if err == nil || !strings.Contains(err.Error(), "given up after 300ms") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Write = %v; want one line that it was given up", err)
	}
	if err := r.Write(t.Context(), service{at: "10.0.0.3:1947/tcp"}.finding("s_1", day(1))); err == nil {
		t.Error("a recorder that failed takes more")
	}
	_, err = history.Open(t.Context(), server.URL("nowhere"))
	if err == nil || !strings.Contains(err.Error(), "cannot be reached") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open = %v; want one line that the server cannot be reached", err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	run, err := s.Find(t.Context(), "s_1")
	if err != nil || run.Open != 1 || run.Status != "unfinished" {
		t.Errorf("the run has %d open ports and is %s, %v; want 1, unfinished", run.Open, run.Status, err)
	}
}

func testRefusedDatabases(t *testing.T, server *pgtest.Server) {
	foreign, newer, none, latin := server.Fresh(t), server.Fresh(t), server.Fresh(t), server.Fresh(t)
	exec := func(url string, queries ...string) {
		t.Helper()
		if err := server.Exec(pgtest.Database(url), queries...); err != nil {
			t.Fatal(err)
		}
	}
	exec(foreign, `CREATE TABLE bookmarks (url text)`, `CREATE TABLE goose_db_version (id int)`)
	if s, err := history.Open(t.Context(), newer); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	exec(newer, fmt.Sprintf(`INSERT INTO dormant_version (version_id, is_applied) VALUES (%d, true)`, history.SchemaVersion+1))
	exec("postgres:///postgres?", `CREATE ROLE reader LOGIN`, `CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0`)
	tables := func(url string) string {
		t.Helper()
		names, err := server.List(pgtest.Database(url), `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct{ name, url, want string }{
		{"another program's", foreign, "tables of another program"},
		{"newer schema", newer, "use a newer dormant"},
		{"no schema", none + "&search_path=nowhere", "names no schema that is there"},
		{"no privilege", strings.Replace(none, "user=dormant", "user=reader", 1), "may not make tables"},
		{"no database", server.URL("nowhere"), "nowhere"},
		{"another encoding", strings.Replace(latin, pgtest.Database(latin), "latin", 1), "want one with UTF8"},
		{"read only", none + "&default_transaction_read_only=on", "read-only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := ""
			if !strings.Contains(tt.name, "database") && !strings.Contains(tt.name, "encoding") {
				before = tables(tt.url)
			}
			s, err := history.Open(t.Context(), tt.url)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %v; want one line with %q", err, tt.want)
			}
			if before != "" && tables(tt.url) != before {
				t.Errorf("the database was changed: %s, before %s", tables(tt.url), before)
			}
		})
	}
	if _, err := history.OpenExisting(t.Context(), none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenExisting of an empty database = %v, want fs.ErrNotExist", err)
	}
	if got := tables(none); got != "" {
		t.Errorf("OpenExisting made %s", got)
	}
	// A schema of its own stands beside the other program's tables.
	exec(foreign, `CREATE SCHEMA dormant`)
	s := open(t, foreign+"&search_path=dormant")
	record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, service{at: "10.0.0.1:1947/tcp"})
	if err := s.Compact(t.Context()); err != nil {
		t.Error(err)
	}
}

// Many processes open an empty database at once.
func testManyOpen(t *testing.T, server *pgtest.Server) {
	url := server.Fresh(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := history.Open(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// What refers to nothing is damage.
func testDamagedDatabase(t *testing.T, server *pgtest.Server) {
	url := server.Fresh(t)
	s := open(t, url)
	record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, service{at: "10.0.0.1:1947/tcp"})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := server.Exec(pgtest.Database(url), `DELETE FROM detail`); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*history.DamagedError](s.Check(t.Context())); !ok {
		t.Errorf("Check = %v; want a DamagedError", s.Check(t.Context()))
	}
}

// The names by which the server's people know a connection, and its bounds.
func testSession(t *testing.T, server *pgtest.Server) {
	url := server.Fresh(t)
	s := open(t, url)
	if _, err := s.Runs(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := server.List(pgtest.Database(url), `SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil || !slices.Equal(got, []string{"dormant"}) {
		t.Errorf("application_name = %q, %v; want dormant", got, err)
	}
	for url, want := range map[string]string{url: "5min", url + "&statement_timeout=7000": "7s"} {
		got, err := history.Setting(t.Context(), open(t, url), "statement_timeout")
		if err != nil || got != want {
			t.Errorf("statement_timeout of %s = %q, %v; want %s", url, got, err, want)
		}
	}
}

// Nothing that is shown of a URL has the password in it, whatever is wrong with
// either. Nobody listens there.
func TestPassword(t *testing.T) {
	for _, tt := range []struct{ name, url, shown string }{
		{"as it should be", "postgres://u:s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"settings", "postgresql://u:s3cr3t@127.88.1.1:1/db?sslmode=disable&application_name=x&search_path=a", "postgresql://u@127.88.1.1:1/db?search_path=a&sslmode=disable"},
		{"in the query", "postgres://127.88.1.1:1/db?user=u&password=s3cr3t&sslpassword=s3cr3t", "postgres://127.88.1.1:1/db?user=u"},
		{"socket", "postgres:///db?host=/nowhere/at/all&user=u&password=s3cr3t", "postgres:///db?host=/nowhere/at/all&user=u"},
		{"two hosts", "postgres://u:s3cr3t@127.88.1.1:1,127.88.1.2:1/db", "postgres://u@127.88.1.1:1,127.88.1.2:1/db"},
		{"escaped", "postgres://u:s3cr3t%40s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"a bare @", "postgres://u:s3cr3t@s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"a bare slash", "postgres://u:a/s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"a bare question mark", "postgres://u:a?s3cr3t@127.88.1.1:1/db?sslmode=disable", "postgres://u@127.88.1.1:1/db?sslmode=disable"},
		{"a bare number sign", "postgres://u:a#s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"a bare percent", "postgres://u:%s3cr3t@127.88.1.1:1/db", "postgres://u@127.88.1.1:1/db"},
		{"no user", "postgres://:s3cr3t@127.88.1.1:1/db", "postgres://127.88.1.1:1/db"},
		{"bad setting", "postgres://u:s3cr3t@127.88.1.1:1/db?sslmode=s3cr3t", ""},
		{"forgotten host", "postgres://u:s3cr3t/db", ""},
		{"no port", "postgres://u:s3cr3t@127.88.1.1:s3cr3t/db", ""},
		{"bad escape in the query", "postgres://127.88.1.1:1/db?user=u&password=s3cr3t%zz", "postgres://127.88.1.1:1/db"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := history.PublicName(tt.url); tt.shown != "" && got != tt.shown {
				t.Errorf("shown as %q, want %q", got, tt.shown)
			}
			_, err := history.Open(t.Context(), tt.url)
			if err == nil {
				t.Fatal("Open went well")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := e.Error(); strings.Contains(text, "s3cr3t") {
					t.Errorf("the password is in the error %q", text)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than a line: %q", err)
			}
		})
	}
}

// The room of every table can be used again, also of those that came later.
func testCompact(t *testing.T, server *pgtest.Server) {
	url := server.Fresh(t)
	if err := open(t, url).Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := server.List(pgtest.Database(url), `SELECT relname::text FROM pg_stat_user_tables WHERE last_vacuum IS NULL`)
	if want := []string{"dormant_version"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("not vacuumed: %v, %v; want %v", left, err, want)
	}
}
