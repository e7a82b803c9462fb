-- +goose Up
-- The columns are explained beside the tables of a file.
CREATE TABLE hearing (
  id        text   NOT NULL PRIMARY KEY,
  site      text   NOT NULL,
  vantage   text   NOT NULL,
  started   bigint NOT NULL,
  finished  bigint NOT NULL,
  heard     bigint NOT NULL,
  lost      bigint NOT NULL,
  forgotten bigint NOT NULL,
  batch     bigint NOT NULL,
  sources   text   NOT NULL
);
CREATE INDEX hearing_started ON hearing (started);

CREATE TABLE client (
  site    text   NOT NULL,
  key     bytea  NOT NULL,
  addr    bytea  NOT NULL,
  uses    bigint NOT NULL,
  told    bigint NOT NULL,
  count   bigint NOT NULL,
  first   bigint NOT NULL,
  last    bigint NOT NULL,
  stored  bigint NOT NULL,
  created bigint NOT NULL,
  name    bytea  NOT NULL,
  source  text   NOT NULL,
  vantage text   NOT NULL,
  PRIMARY KEY (site, key, addr)
);
CREATE INDEX client_stored ON client (stored);
