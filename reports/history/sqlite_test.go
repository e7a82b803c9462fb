package history_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/reports"
	"dormant/reports/history"
)

// A file system of some sixteen megabytes, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare here: the full disk is not tried")
	}
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-Urm"
	}
	dir := t.TempDir()
	if out, err := exec.Command(unshare, flags, "mount", "-t", "tmpfs", "-o", "size=16760k", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no mount namespace here: %v %s", err, out)
	}
	const full = "the disk is full: free some space, or give another file with --db: "
	for _, tt := range []struct {
		name, taken string // bytes of the disk that something else has
		want        []string
	}{
		{"in mid-run", "0", []string{full + "database or disk is full (13)\n", "said true, open true, <nil>"}},
		{"no room to begin", "16740k", []string{full + "disk I/O error (4874)\n"}}, // 20 KiB less than there are
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(unshare, flags, "sh", "-c", `mount -t tmpfs -o size=16760k none "$1" && head -c "$2" /dev/zero >"$1/taken" && exec "$0"`,
				os.Args[0], dir, tt.taken)
			cmd.Env = append(os.Environ(), "DORMANT_TEST_WRITER="+filepath.Join(dir, "h.db"))
			var said strings.Builder
			cmd.Stderr = &said
			if err := cmd.Run(); err == nil {
				t.Error("the writer ended well; want it to fail")
			}
			for _, want := range tt.want {
				if !strings.Contains(said.String(), want) {
					t.Errorf("the writer said %q; want %q", said.String(), want)
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	run(t, foreign, `CREATE TABLE bookmarks (url TEXT)`)
	newer := filepath.Join(dir, "newer.db")
	if s, err := history.Open(t.Context(), newer); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	run(t, newer, fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, history.SchemaVersion+1))
	for _, tt := range []struct{ name, path, want string }{
		{"text", write("text.db", "not a database, but longer than its head"), "is damaged"},
		{"short", write("short.db", "SQL"), "is damaged"},
		{"cut pages", write("cut.db", "SQLite format 3\x00"+strings.Repeat("\xff", 5000)), "is damaged"},
		{"another program's", foreign, "of another program"},
		{"newer schema", newer, "use a newer dormant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, err := os.ReadFile(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := history.Open(t.Context(), tt.path)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %v; want one line with %q", err, tt.want)
			}
			after, err := os.ReadFile(tt.path)
			if err != nil || !slices.Equal(before, after) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

func run(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A page in the middle of the file is overwritten: what is read says so, in one
// line, and nothing is written.
func TestDamagedInTheMiddle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	s, err := history.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var many []service
	for i := range 3000 {
		many = append(many, service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", i/250, i%250)})
	}
	record(t, s, "s_1", day(1), plan("10.0.0.0/16"), true, many...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2:], strings.Repeat("\xa5", 100_000))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if _, ok := errors.AsType[*history.DamagedError](s.Check(t.Context())); !ok {
		t.Errorf("Check = %v; want a DamagedError", s.Check(t.Context()))
	}
}

// A recorder outlasts another process that holds the file, as to prune it; one
// that holds it for too long is told of in one line.
func TestHeldFile(t *testing.T) {
	path := newFile(t)
	s := open(t, path)
	r, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return reports.Run{ScanID: "s_1"} })
	if err != nil {
		t.Fatal(err)
	}
	if err := history.Hurry(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // it only held the file
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do := func(query string) {
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Error(err)
		}
	}
	write := func(at string) error {
		if err := r.Write(t.Context(), service{at: at}.finding("s_1", day(1))); err != nil {
			t.Fatal(err)
		}
		return history.Flush(r)
	}
	do(`BEGIN IMMEDIATE`)
	time.AfterFunc(50*time.Millisecond, func() { do(`ROLLBACK`) })
	if err := write("10.0.0.1:1947/tcp"); err != nil || r.Stored() != 1 {
		t.Errorf("Write = %v with %d stored; want that the finding is stored when the file is free", err, r.Stored())
	}
	history.SetPatience(s, 0)
	do(`BEGIN IMMEDIATE`)
	err = write("10.0.0.2:1947/tcp")
	if err == nil || !strings.Contains(err.Error(), "h.db is locked by another process") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Write = %v; want one line that the file is locked", err)
	}
	do(`ROLLBACK`)
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenExisting(t *testing.T) {
	if _, err := history.OpenExisting(t.Context(), filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenExisting = %v, want fs.ErrNotExist", err)
	}
}

// TestLargePlan: a scan of a million lone addresses can be read again, and does
// not take the other runs with it.
func TestLargePlan(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds")
	}
	s := open(t, newFile(t))
	large := plan()
	for a := netip.MustParseAddr("10.0.0.0"); len(large.Prefixes) < 1_100_000; a = a.Next().Next() {
		large.Prefixes = append(large.Prefixes, netip.PrefixFrom(a, 32))
	}
	run := record(t, s, "s_1", day(1), large, true, service{at: "10.0.0.2:1947/tcp"})
	if len(run.Plan().Prefixes) != len(large.Prefixes) {
		t.Errorf("the plan has %d ranges, want %d", len(run.Plan().Prefixes), len(large.Prefixes))
	}
	if runs, err := s.Runs(t.Context()); err != nil || len(runs) != 1 {
		t.Errorf("Runs = %d, %v; want one", len(runs), err)
	}
}
