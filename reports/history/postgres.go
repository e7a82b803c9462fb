package history

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// postgresDB is the dialect of a database of PostgreSQL.
type postgresDB struct {
	name   string // the URL without what is secret
	create bool   // tables that are not there
}

var _ dialect = postgresDB{}

// settings are what the server is told to bound, unless the URL says otherwise: a
// statement, the wait for a lock, as long as a file waits, and a transaction that
// stands still because this side is away.
func settings() [][2]string {
	return [][2]string{{"statement_timeout", "5min"}, {"lock_timeout", "20s"}, {"idle_in_transaction_session_timeout", "2min"}}
}

// The bounds of a connection, in time.
const (
	connectFor = 10 * time.Second // unless the URL says otherwise
	idleFor    = 5 * time.Minute
	tryFor     = 2 * time.Minute // one transaction of a recorder
)

// minServer is the oldest server, as server_version_num says it: 12.
const minServer = 120_000

// versionTable holds the schema's number, and marks a database as a history.
const versionTable = "dormant_version"

// openPostgres reads the URL. It connects nothing yet.
func openPostgres(db string, create bool) (*Store, error) {
	if bare(db) {
		return nil, errURL(errors.New("the user or the password has a bare @, /, ? or #"))
	}
	name := publicName(db)
	config, err := pgx.ParseConfig(db)
	if err != nil {
		return nil, errURL(err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "dormant"
	}
	if config.RuntimeParams["client_encoding"] == "" {
		config.RuntimeParams["client_encoding"] = "UTF8"
	}
	if !strings.Contains(db, "connect_timeout=") {
		config.ConnectTimeout = connectFor
	}
	given := config.RuntimeParams
	ready := func(ctx context.Context, c *pgx.Conn) error { // not with the others: poolers refuse to pass them on
		for _, x := range settings() {
			if _, ok := given[x[0]]; ok {
				continue
			}
			if _, err := c.Exec(ctx, `SELECT set_config($1, $2, false)`, x[0], x[1]); err != nil {
				return err
			}
		}
		return nil
	}
	s := &Store{db: stdlib.OpenDB(*config, stdlib.OptionAfterConnect(ready)), name: name, dialect: postgresDB{name, create}, tryFor: tryFor}
	s.db.SetConnMaxIdleTime(idleFor)
	return s, nil
}

// up makes or updates the tables. Several processes may do so at once: who comes
// later waits for the lock, and looks then.
func (p postgresDB) up(ctx context.Context, db *sql.DB) error {
	version, err := p.version(ctx, db)
	if err != nil || version == SchemaVersion {
		return err
	}
	if version == 0 && !p.create {
		return errNone(p.name)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return p.explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // it holds the lock, and nothing else
	_, err = tx.ExecContext(ctx, `SELECT set_config('lock_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true),
		pg_advisory_xact_lock($1)`, applicationID)
	if err != nil {
		return p.explain(err)
	}
	if version, err = p.version(ctx, db); err != nil || version == SchemaVersion {
		return err
	}
	if err := p.writable(ctx, tx); err != nil {
		return err
	}
	if err := migrate(ctx, db, goose.DialectPostgres, "postgres", versionTable); err != nil {
		return p.explain(err)
	}
	return nil
}

// writable says why no table can be made.
func (p postgresDB) writable(ctx context.Context, tx *sql.Tx) error {
	var may bool
	var schema, user, readOnly string
	err := tx.QueryRowContext(ctx, `SELECT has_schema_privilege(current_schema(), 'CREATE'), current_schema()::text, current_user::text,
		current_setting('transaction_read_only')`).Scan(&may, &schema, &user, &readOnly)
	switch {
	case err != nil:
		return p.explain(err)
	case readOnly == "on":
		return fmt.Errorf("history: %s cannot be written: it is a standby, or read-only", p.name)
	case !may:
		return fmt.Errorf("history: %s: the user %s may not make tables in schema %q: GRANT CREATE ON SCHEMA, or give a schema of its own, as ?search_path=NAME",
			p.name, user, schema)
	}
	return nil
}

// version returns the schema of the database, 0 for an empty one, and refuses
// one that is not for a history.
func (p postgresDB) version(ctx context.Context, db *sql.DB) (int64, error) {
	var schema sql.NullString
	var server, tables, managed int64
	var encoding string
	err := db.QueryRowContext(ctx, `SELECT current_schema(), current_setting('server_version_num')::bigint, current_setting('server_encoding'),
		count(*), count(*) FILTER (WHERE relname = $1) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND relkind IN ('r', 'p')`, versionTable).Scan(&schema, &server, &encoding, &tables, &managed)
	switch {
	case err != nil:
		return 0, p.explain(err)
	case server < minServer:
		return 0, fmt.Errorf("history: %s: the server is PostgreSQL %d: want %d or newer", p.name, server/10_000, minServer/10_000)
	case encoding != "UTF8" && encoding != "SQL_ASCII":
		return 0, fmt.Errorf("history: %s: the database has the encoding %s: want one with UTF8", p.name, encoding)
	case !schema.Valid:
		return 0, fmt.Errorf("history: %s: its search_path names no schema that is there: create it, or leave search_path out", p.name)
	case tables > 0 && managed == 0:
		return 0, fmt.Errorf("history: %s: schema %q has tables of another program: give a database or a schema of its own, as ?search_path=NAME",
			p.name, schema.String)
	case managed == 0:
		return 0, nil
	}
	var v sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable+` WHERE is_applied`).Scan(&v); err != nil {
		return 0, p.explain(err)
	}
	if v.Int64 > SchemaVersion {
		return 0, newerError(p.name, v.Int64)
	}
	return v.Int64, nil
}

func (p postgresDB) explain(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.explainCode(e.Code, err)
	}
	if isLost(err) {
		return &lostError{p.name + away, err}
	}
	return fmt.Errorf("history: %s: %w", p.name, err)
}

// explainCode reads the server's code
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func (p postgresDB) explainCode(code string, err error) error {
	switch code {
	case "53100":
		return fmt.Errorf("history: %s: the server's disk is full: free some space there, or prune with dormant runs prune: %w", p.name, err)
	case "53300", "57P01", "57P02", "57P03": // too many connections; it stops, crashed, starts
		return &lostError{p.name + away, err}
	case "40001", "40P01": // the others went first
		return &lostError{p.name + away, err}
	case "55P03":
		return &lostError{p.name + held, err}
	case "57014":
		return fmt.Errorf("history: %s: the server was not ready in time (its statement_timeout, which the URL can set): %w", p.name, err)
	case "42501":
		return fmt.Errorf("history: %s: the user may not do this: grant it, or give a schema of its own, as ?search_path=NAME: %w", p.name, err)
	case "25006":
		return fmt.Errorf("history: %s cannot be written: it is a standby, or read-only: %w", p.name, err)
	case "XX001", "XX002":
		return &DamagedError{Path: p.name, Err: err}
	}
	if strings.HasPrefix(code, "08") {
		return &lostError{p.name + away, err}
	}
	return fmt.Errorf("history: %s: %w", p.name, err)
}

// isLost reports whether an error is of the way to the server.
func isLost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok { // a deadline that passed is one
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return pgconn.SafeToRetry(err)
}

// compact lets the server use the room again. It does not shut others out, as
// giving it back to the disk would.
func (p postgresDB) compact(ctx context.Context, db *sql.DB) error {
	return p.unhurried(ctx, db, `VACUUM (ANALYZE) run, finding, detail, answer, overruled, scope, sighting, superseded, revision, hearing, client`)
}

// unhurried runs a statement without a bound on its time.
func (p postgresDB) unhurried(ctx context.Context, db *sql.DB, query string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	var before string
	if err := conn.QueryRowContext(ctx, `SELECT current_setting('statement_timeout')`).Scan(&before); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SET statement_timeout = 0`); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, query)
	_, rerr := conn.ExecContext(context.WithoutCancel(ctx), `SELECT set_config('statement_timeout', $1, false)`, before)
	return errors.Join(err, rerr)
}

// check looks whether every finding has what is stored of it. The server itself
// says what it cannot read.
func (p postgresDB) check(ctx context.Context, db *sql.DB) error {
	var broken int64
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM finding f LEFT JOIN detail d ON d.id = f.detail LEFT JOIN detail e ON e.id = f.evidence
		WHERE d.id IS NULL OR e.id IS NULL`).Scan(&broken)
	if err != nil {
		return err
	}
	if broken > 0 {
		return &DamagedError{Path: p.name, Err: fmt.Errorf("%d findings lost what was stored of them", broken)}
	}
	return nil
}

// insert stores all rows with a few statements: it is the way there and back
// that takes the time.
func (p postgresDB) insert(ctx context.Context, tx *sql.Tx, b *batch) error {
	n := len(b.rows)
	var keys, details, evidence [][]byte
	var digests, macs, certs, hosts, first, last []int64
	var verdicts, severities, expected, words []string
	for i := range b.rows {
		r := &b.rows[i]
		keys, details, evidence = append(keys, r.key), append(details, r.detail), append(evidence, r.evidence)
		digests, macs, certs, hosts = append(digests, r.digest), append(macs, r.mac), append(certs, r.cert), append(hosts, r.host)
		first, last = append(first, r.first), append(last, r.last)
		x := &r.facets
		verdicts, severities, expected, words = append(verdicts, x.verdict), append(severities, x.severity), append(expected, x.expected), append(words, x.words)
	}
	ids, err := collect(ctx, tx, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) },
		`SELECT nextval(pg_get_serial_sequence('detail', 'id')) FROM generate_series(1, $1)`, n)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO detail (id, body, evidence) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])`, []any{ids, details, evidence}},
		{`INSERT INTO finding (run, key, digest, mac, cert, host, detail, evidence, verdict, severity, expected, words)
			SELECT $1, k, digest, mac, cert, host, id, id, verdict, severity, expected, words
			FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[])
			AS u (k, digest, mac, cert, host, id, verdict, severity, expected, words)`,
			[]any{b.run, keys, digests, macs, certs, hosts, ids, verdicts, severities, expected, words}},
		{`INSERT INTO sighting AS s (scope, key, first, last) SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bigint[])
			ON CONFLICT (scope, key) DO UPDATE SET first = least(s.first, excluded.first), last = greatest(s.last, excluded.last)
			WHERE excluded.first < s.first OR excluded.last > s.last`, []any{b.scope, keys, first, last}},
	} {
		if _, err := tx.ExecContext(ctx, x.query, x.args...); err != nil {
			return err
		}
	}
	return nil
}
