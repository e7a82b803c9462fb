package history

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// pgConnector lets database/sql pool connections of pgx. Of what drivers can do
// it does what this package and its migrations ask for; see doc.go.
type pgConnector struct {
	config *pgx.ConnConfig
	ready  func(ctx context.Context, c *pgx.Conn) error // each connection, before its use
}

func (p *pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, p.config.Copy())
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, c); err != nil {
		_ = c.Close(ctx) // the first error says more
		return nil, err
	}
	return &pgConn{conn: c}, nil
}

func (p *pgConnector) Driver() driver.Driver { return pgDriver{} }

// pgDriver opens nothing by name.
type pgDriver struct{}

func (pgDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("history: connections come from the URL")
}

// pgConn is a connection. pgx prepares what is asked often by itself.
type pgConn struct {
	conn *pgx.Conn
	used time.Time
}

var _ interface {
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
} = (*pgConn)(nil)

func (c *pgConn) Prepare(query string) (driver.Stmt, error) { return &pgStmt{c, query}, nil }

func (c *pgConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &pgStmt{c, query}, nil
}

func (c *pgConn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // it only says goodbye
	defer cancel()
	return c.conn.Close(ctx)
}

var errNoContext = errors.New("history: not without a context")

func (c *pgConn) Begin() (driver.Tx, error) { return nil, errNoContext }

func (c *pgConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if o != (driver.TxOptions{}) {
		return nil, errors.New("history: only transactions as the server makes them")
	}
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return nil, unsent(err)
	}
	return pgTx{ctx, tx}, nil
}

// pgTx ends within the context that it began with: database/sql has no other.
type pgTx struct {
	ctx context.Context
	tx  pgx.Tx
}

func (t pgTx) Commit() error   { return t.tx.Commit(t.ctx) }
func (t pgTx) Rollback() error { return t.tx.Rollback(t.ctx) }

// unsent lets database/sql take another connection where nothing was sent.
func unsent(err error) error {
	if pgconn.SafeToRetry(err) {
		return driver.ErrBadConn
	}
	return err
}

func values(named []driver.NamedValue) []any {
	args := make([]any, len(named))
	for i, v := range named {
		args[i] = v.Value
	}
	return args
}

func (c *pgConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	tag, err := c.conn.Exec(ctx, query, values(args)...)
	if err != nil {
		return nil, unsent(err)
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.Query(ctx, query, values(args)...)
	if err != nil {
		return nil, unsent(err)
	}
	r := &pgRows{rows: rows}
	if r.ahead = rows.Next(); !r.ahead && rows.Err() != nil { // an error of the query comes with its first row
		return nil, unsent(rows.Err())
	}
	for _, f := range rows.FieldDescriptions() {
		r.columns = append(r.columns, f.Name)
	}
	return r, nil
}

// CheckNamedValue leaves every value to pgx, which knows arrays too.
func (c *pgConn) CheckNamedValue(*driver.NamedValue) error { return nil }

// IsValid reports whether the connection can be used again.
func (c *pgConn) IsValid() bool { return !c.conn.IsClosed() && c.conn.PgConn().TxStatus() == 'I' }

// ResetSession is asked before each use. A connection that stood still may have
// been cut.
func (c *pgConn) ResetSession(ctx context.Context) error {
	now := time.Now()
	if !c.IsValid() || now.Sub(c.used) > time.Second && c.conn.Ping(ctx) != nil {
		return driver.ErrBadConn
	}
	c.used = now
	return nil
}

// pgStmt is a query by its text.
type pgStmt struct {
	conn  *pgConn
	query string
}

var _ interface {
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
} = (*pgStmt)(nil)

func (s *pgStmt) Close() error                               { return nil }
func (s *pgStmt) NumInput() int                              { return -1 } // the server counts
func (s *pgStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errNoContext }
func (s *pgStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errNoContext }
func (s *pgStmt) CheckNamedValue(*driver.NamedValue) error   { return nil }

func (s *pgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s *pgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// pgRows are the rows of a query.
type pgRows struct {
	rows    pgx.Rows
	columns []string
	ahead   bool // the next row is read already
}

func (r *pgRows) Columns() []string { return r.columns }

func (r *pgRows) Close() error {
	r.rows.Close()
	return r.rows.Err()
}

func (r *pgRows) Next(dest []driver.Value) error {
	more := r.ahead || r.rows.Next()
	r.ahead = false
	if !more {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	row, err := r.rows.Values()
	if err != nil {
		return err
	}
	for i, v := range row {
		switch v := v.(type) {
		case nil, int64, float64, bool, []byte, string, time.Time:
			dest[i] = v
		case int32:
			dest[i] = int64(v)
		case int16:
			dest[i] = int64(v)
		default:
			return fmt.Errorf("history: column %s is of a type that is not read: %T", r.columns[i], v)
		}
	}
	return nil
}
