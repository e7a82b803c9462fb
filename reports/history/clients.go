package history

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
	"dormant/scanner/listen"
)

// The bounds of what is kept of clients, so that years of listening do not grow
// a history without end: 200,000 clients are some 40 MB.
const (
	maxClients  = 200_000
	maxHearings = 1_000
)

// Hearing is one time that somebody listened, or read what others had recorded.
type Hearing struct {
	ID       string    `json:"id"` // "l_" and a sortable id
	Site     string    `json:"site"`
	Vantage  string    `json:"vantage"` // the host that listened
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero: it runs, or was killed
	Sources  []string  `json:"sources"`           // interfaces or files
	Clients  uint64    `json:"clients"`
	// Lost counts what was not heard, Forgotten clients for which there was no
	// room: with either, who is not listed may be a client all the same.
	Lost      uint64 `json:"lost"`
	Forgotten uint64 `json:"forgotten"`
}

// KnownClient is a client as the history knows it: everything that all hearings
// of a site heard of it.
type KnownClient struct {
	listen.Client
	Site, Vantage string
	Stored        time.Time // when it was heard of last
}

// HearingRecorder stores what is heard, as often as its owner likes.
type HearingRecorder struct {
	store *Store
	h     Hearing
	files bool
	batch int64
	kept  map[clientKey]uint64 // counts that are stored
}

type clientKey struct {
	client netip.Addr
	server scanner.Target
}

func keyOf(c *listen.Client) clientKey {
	return clientKey{c.Addr, scanner.Target{Addr: c.Server, Port: c.Port}}
}

// Hear stores that somebody begins to listen. files is true when recordings are
// read: read again they count their flows again, so the greater count stands,
// and not the sum.
func (s *Store) Hear(ctx context.Context, h Hearing, files bool) (*HearingRecorder, error) {
	sources := make([]string, len(h.Sources))
	for i, name := range h.Sources {
		sources[i] = reports.Line(name)
	}
	text, err := json.Marshal(sources)
	if err != nil {
		return nil, fmt.Errorf("history: hearing: %w", err)
	}
	err = s.persist(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO hearing (id, site, vantage, started, finished, heard, lost, forgotten, batch, sources)
			VALUES ($1, $2, $3, $4, 0, 0, 0, 0, 0, $5) ON CONFLICT DO NOTHING`, h.ID, reports.Line(h.Site), reports.Line(h.Vantage), h.Started.UnixNano(), string(text)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM hearing WHERE id NOT IN (SELECT id FROM hearing ORDER BY started DESC, id DESC LIMIT $1)`, maxHearings)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &HearingRecorder{store: s, h: h, files: files, kept: map[clientKey]uint64{}}, nil
}

// addClient adds what is new of a client. What is stored of it stays where it
// says more, and where it is of a later time: an old recording may be read today.
const addClient = `INSERT INTO client (site, key, addr, uses, told, count, first, last, stored, created, name, source, vantage)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
	ON CONFLICT (site, key, addr) DO UPDATE SET
	uses = CASE WHEN excluded.uses > client.uses THEN excluded.uses ELSE client.uses END,
	told = CASE WHEN excluded.told > client.told THEN excluded.told ELSE client.told END,
	first = CASE WHEN client.first = 0 OR excluded.first > 0 AND excluded.first < client.first THEN excluded.first ELSE client.first END,
	last = CASE WHEN excluded.last > client.last THEN excluded.last ELSE client.last END,
	stored = excluded.stored,
	created = CASE WHEN excluded.created > 0 AND (excluded.last >= client.last OR client.created = 0) THEN excluded.created ELSE client.created END,
	name = CASE WHEN length(excluded.name) > 0 AND (excluded.last >= client.last OR length(client.name) = 0) THEN excluded.name ELSE client.name END,
	source = CASE WHEN excluded.last > client.last THEN excluded.source ELSE client.source END,
	vantage = CASE WHEN excluded.last > client.last THEN excluded.vantage ELSE client.vantage END, `

// The last part of addClient.
const (
	addCount  = `count = client.count + excluded.count`
	mostCount = `count = CASE WHEN excluded.count > client.count THEN excluded.count ELSE client.count END`
)

// Keep stores what is new in clients, all that were heard so far, and how much
// was not. It returns how many of the weakest the history forgot because it was
// full. What was not stored because of an error is stored with the next call.
func (r *HearingRecorder) Keep(ctx context.Context, clients []listen.Client, lost, forgotten uint64) (dropped int64, err error) {
	return r.keep(ctx, clients, lost, forgotten, time.Time{})
}

// Close is the last Keep.
func (r *HearingRecorder) Close(ctx context.Context, clients []listen.Client, lost, forgotten uint64) (dropped int64, err error) {
	return r.keep(ctx, clients, lost, forgotten, time.Now())
}

func (r *HearingRecorder) keep(ctx context.Context, clients []listen.Client, lost, forgotten uint64, finished time.Time) (dropped int64, err error) {
	now, kept := time.Now(), make(map[clientKey]uint64, len(clients))
	var fresh []listen.Client
	for _, c := range clients {
		kept[keyOf(&c)] = c.Count
		if was := r.kept[keyOf(&c)]; c.Count > was {
			if !r.files {
				c.Count -= was
			}
			fresh = append(fresh, c)
		}
	}
	end := int64(0)
	if !finished.IsZero() {
		end = finished.UnixNano()
	}
	err = r.store.persist(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
		res, err := tx.ExecContext(ctx, `UPDATE hearing SET batch = $2, finished = $3, heard = $4, lost = $5, forgotten = $6 WHERE id = $1 AND batch < $2`,
			r.h.ID, r.batch+1, end, int64(len(clients)), int64(lost), int64(forgotten))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 { // an answer was lost: it is stored already, or the hearing was removed
			return errors.Join(err, r.still(ctx, tx))
		}
		if err := r.add(ctx, tx, fresh, now); err != nil {
			return err
		}
		dropped, err = shrinkClients(ctx, tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	r.batch++
	r.kept = kept
	return dropped, nil
}

// still tells a batch that is stored from a hearing that is gone: the oldest are
// removed when there are too many, and then a new row takes its place.
func (r *HearingRecorder) still(ctx context.Context, tx *sql.Tx) error {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM hearing WHERE id = $1`, r.h.ID).Scan(&n)
	if err == nil && n == 0 {
		err = fmt.Errorf("history: hearing %s was removed while it went on", r.h.ID)
	}
	return err
}

func (r *HearingRecorder) add(ctx context.Context, tx *sql.Tx, fresh []listen.Client, now time.Time) error {
	count := addCount
	if r.files {
		count = mostCount
	}
	insert, err := tx.PrepareContext(ctx, addClient+count)
	if err != nil {
		return err
	}
	defer insert.Close()                          //nolint:errcheck // with the transaction
	slices.SortFunc(fresh, listen.Client.Compare) // two writers that lock rows in one order do not wait for each other
	for i := range fresh {
		c := &fresh[i]
		_, err := insert.ExecContext(ctx, reports.Line(r.h.Site), appendKey(nil, scanner.Target{Addr: c.Server, Port: c.Port}), clientBytes(c.Addr),
			int64(c.Use), int64(c.Told), int64(c.Count), stamp(c.First), stamp(c.Last), now.UnixNano(), stamp(c.Created), []byte(c.Name),
			reports.Line(c.Source), reports.Line(r.h.Vantage))
		if err != nil {
			return err
		}
	}
	return nil
}

// shrinkClients forgets the weakest beyond maxClients, as a listen.Table does:
// those that never got an answer first, then those not heard of for longest.
func shrinkClients(ctx context.Context, tx *sql.Tx) (int64, error) {
	var n int64
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM client`).Scan(&n); err != nil || n <= maxClients {
		return 0, err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM client WHERE (site, key, addr) IN (SELECT site, key, addr FROM client
		ORDER BY CASE WHEN uses < $1 THEN 0 ELSE 1 END, stored, site, key, addr LIMIT $2)`, int64(listen.Answered), n-maxClients)
	return n - maxClients, err
}

// stamp is a time as it is stored, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unstamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// clientBytes is an address as it is stored: 4 or 16 bytes, and the zone.
func clientBytes(a netip.Addr) []byte { return append(a.AsSlice(), a.Zone()...) }

func parseClient(b []byte) (netip.Addr, error) {
	switch {
	case len(b) == 4:
		return netip.AddrFrom4([4]byte(b)), nil
	case len(b) >= 16:
		return netip.AddrFrom16([16]byte(b[:16])).WithZone(string(b[16:])), nil
	default:
		return netip.Addr{}, errKey
	}
}

// Clients returns who was heard using the ports, of all sites, ordered by site,
// server, port and client. No port means all.
func (s *Store) Clients(ctx context.Context, ports ...registry.Port) ([]KnownClient, error) {
	all, err := collect(ctx, s.db, scanClient, `SELECT site, key, addr, uses, told, count, first, last, stored, created, name, source, vantage
		FROM client ORDER BY site, key, addr`)
	if err != nil {
		return nil, s.explain(err)
	}
	return slices.DeleteFunc(all, func(c KnownClient) bool { return len(ports) > 0 && !slices.Contains(ports, c.Port) }), nil
}

func scanClient(rows *sql.Rows) (k KnownClient, err error) {
	var key, addr, name []byte
	var use, told, count, first, last, stored, created int64
	if err = rows.Scan(&k.Site, &key, &addr, &use, &told, &count, &first, &last, &stored, &created, &name, &k.Source, &k.Vantage); err != nil {
		return k, err
	}
	server, err := parseKey(key)
	if err != nil {
		return k, err
	}
	k.Addr, err = parseClient(addr)
	k.Server, k.Port = server.Addr, server.Port
	k.Use, k.Told, k.Count = listen.Use(use), listen.Told(told), uint64(max(count, 0))
	k.First, k.Last, k.Stored, k.Created = unstamp(first), unstamp(last), unstamp(stored), unstamp(created)
	k.Name = string(bytes.Clone(name))
	return k, err
}

// Hearings returns the times that somebody listened, the newest first.
func (s *Store) Hearings(ctx context.Context) ([]Hearing, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (h Hearing, err error) {
		var started, finished, heard, lost, forgotten int64
		var sources string
		if err = rows.Scan(&h.ID, &h.Site, &h.Vantage, &started, &finished, &heard, &lost, &forgotten, &sources); err != nil {
			return h, err
		}
		h.Started, h.Finished, h.Clients, h.Lost, h.Forgotten = unstamp(started), unstamp(finished), uint64(heard), uint64(lost), uint64(forgotten)
		return h, json.Unmarshal([]byte(sources), &h.Sources)
	}, `SELECT id, site, vantage, started, finished, heard, lost, forgotten, sources FROM hearing ORDER BY started DESC, id DESC`)
	return all, s.explain(err)
}

// PruneClients forgets the clients that were heard of last before a day, and
// the hearings that ended before it. It returns how many of each.
func (s *Store) PruneClients(ctx context.Context, before time.Time) (clients, hearings int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM client WHERE stored < $1`, before.UnixNano())
		if err == nil {
			clients, err = res.RowsAffected()
		}
		if err != nil {
			return err
		}
		if res, err = tx.ExecContext(ctx, `DELETE FROM hearing WHERE finished > 0 AND finished < $1`, before.UnixNano()); err != nil {
			return err
		}
		hearings, err = res.RowsAffected()
		return err
	})
	return clients, hearings, err
}
