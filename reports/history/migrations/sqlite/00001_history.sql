-- +goose Up
PRAGMA application_id = 1146048077; -- "DORM": this file is a history of dormant

CREATE TABLE run (
  id       INTEGER PRIMARY KEY,
  scan_id  TEXT    NOT NULL UNIQUE,
  site     TEXT    NOT NULL,
  vantage  TEXT    NOT NULL,
  plan_key TEXT    NOT NULL,            -- equal for runs with the same targets, ports and part of them
  plan     BLOB    NOT NULL,            -- deflated JSON: prefixes and ports
  started  INTEGER NOT NULL,            -- nanoseconds since 1970, as all times here
  finished INTEGER NOT NULL DEFAULT 0,  -- 0: it runs, or was killed
  swept    INTEGER NOT NULL DEFAULT 0,  -- 1: every target was measured, so silence means something
  revision INTEGER NOT NULL DEFAULT 1,
  facts    TEXT    NOT NULL             -- reports.Run as JSON
);
CREATE INDEX run_scope ON run (site, vantage, started);

-- The open ports of a run, in the order of reports. Small on purpose: two runs
-- are compared by reading only this table.
CREATE TABLE finding (
  run      INTEGER NOT NULL,
  key      BLOB    NOT NULL,            -- address, transport, port; sorts as scanner.Target does
  digest   INTEGER NOT NULL,            -- of what a change is about; 0: not judged
  mac      INTEGER NOT NULL,            -- hashes of what identifies a machine; 0: not known
  cert     INTEGER NOT NULL,
  host     INTEGER NOT NULL,
  detail   INTEGER NOT NULL,            -- detail.id of the columns and the verdict
  evidence INTEGER NOT NULL,            -- detail.id of the evidence, older than detail after a revision
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE TABLE detail (
  id       INTEGER PRIMARY KEY,
  body     BLOB NOT NULL,               -- deflated JSON of the finding
  evidence BLOB                         -- deflated canonical JSON of the dialogue
);

-- What answered without being open, many to a row.
CREATE TABLE answer (
  id    INTEGER PRIMARY KEY,
  run   INTEGER NOT NULL,
  count INTEGER NOT NULL,
  body  BLOB    NOT NULL
);
CREATE INDEX answer_run ON answer (run);

CREATE TABLE scope (
  id      INTEGER PRIMARY KEY,
  site    TEXT NOT NULL,
  vantage TEXT NOT NULL,
  UNIQUE (site, vantage)
);

-- When each open port was seen first and last; pruning runs does not forget it.
CREATE TABLE sighting (
  scope INTEGER NOT NULL,
  key   BLOB    NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;

-- What stood in finding before a run was judged again.
CREATE TABLE superseded (
  run      INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  key      BLOB    NOT NULL,
  detail   INTEGER NOT NULL,
  PRIMARY KEY (run, revision, key)
) WITHOUT ROWID;

CREATE TABLE revision (
  run     INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  version TEXT    NOT NULL,             -- of the program whose rules judged
  changed INTEGER NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
