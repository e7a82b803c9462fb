-- +goose Up
-- The times that somebody listened. batch counts what was stored of it, so that
-- nothing is added twice.
CREATE TABLE hearing (
  id        TEXT    NOT NULL PRIMARY KEY, -- "l_" and a UUID that sorts by time
  site      TEXT    NOT NULL,
  vantage   TEXT    NOT NULL,
  started   INTEGER NOT NULL,             -- nanoseconds since 1970, as all times here
  finished  INTEGER NOT NULL,             -- 0: it runs, or was killed
  heard     INTEGER NOT NULL,             -- clients when it was stored last
  lost      INTEGER NOT NULL,             -- frames and lines that were not heard
  forgotten INTEGER NOT NULL,             -- clients for which there was no room
  batch     INTEGER NOT NULL,
  sources   TEXT    NOT NULL              -- JSON: interfaces or files
);
CREATE INDEX hearing_started ON hearing (started);

-- Who was heard using what, over all hearings of a site.
CREATE TABLE client (
  site    TEXT    NOT NULL,
  key     BLOB    NOT NULL,               -- server, transport, port, as in finding
  addr    BLOB    NOT NULL,               -- of the client, 4 or 16 bytes and its zone
  uses    INTEGER NOT NULL,               -- listen.Use
  told    INTEGER NOT NULL,               -- listen.Told
  count   INTEGER NOT NULL,
  first   INTEGER NOT NULL,               -- 0: not known
  last    INTEGER NOT NULL,
  stored  INTEGER NOT NULL,               -- when it was heard of last
  created INTEGER NOT NULL,
  name    BLOB    NOT NULL,
  source  TEXT    NOT NULL,
  vantage TEXT    NOT NULL,
  PRIMARY KEY (site, key, addr)
) WITHOUT ROWID;
CREATE INDEX client_stored ON client (stored);
