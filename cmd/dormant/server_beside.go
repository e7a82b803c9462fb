package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"path/filepath"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/server"
	"dormant/cmd/internal/web"
)

// beside returns what runs beside the server: the page and the metrics, where
// they are asked for.
func (f *fleetServer) beside(s *server.Server, conn *nats.Conn) ([]func(context.Context) error, error) {
	var all []func(context.Context) error
	if f.o.web != "" {
		page, err := f.page(s)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Run)
	}
	if f.o.metrics != "" {
		run, err := f.metrics(s, conn)
		if err != nil {
			return nil, err
		}
		all = append(all, run)
	}
	return all, nil
}

// page is the web page.
func (f *fleetServer) page(s *server.Server) (*web.Server, error) {
	reg, err := loadRegistry("")
	if err != nil {
		return nil, err
	}
	c := web.Config{
		Listen: f.o.web, Fleet: &office{s, f.authority}, Store: f.desk.store, Registry: reg, ProxyHeader: f.o.webHeader, Public: f.o.webURL,
		Version: shortVersion(), Log: f.a.log,
		Ready: func(at net.Addr) { sayReady(f.a, "web page", f.scheme()+"://"+at.String()) },
	}
	if c.ProxyFrom, err = f.o.proxies(); err != nil {
		return nil, err
	}
	if f.o.webHeader == "" || f.o.webToken != "" {
		path := cmp.Or(f.o.webToken, filepath.Join(f.dir, "web.token"))
		made := false
		if c.Token, made, err = web.TokenFile(path); err != nil {
			return nil, &exitError{exitUsage, err}
		}
		f.a.log.Info("the token that lets into the page is in a file", "file", path, "new", made)
	}
	if f.o.webCert != "" {
		if c.TLS, err = web.TLSFiles(f.o.webCert, f.o.webKey, f.a.log); err != nil {
			return nil, usageError("--web-tls-cert: %w", err)
		}
	}
	page, err := web.New(c)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return page, nil
}

func (f *fleetServer) scheme() string {
	if f.o.webCert != "" {
		return "https"
	}
	return "http"
}

// office is what the page may do.
type office struct {
	*server.Server
	authority *enroll.Authority // nil: agents are the cluster's
}

// Revoke takes an agent's credential away.
func (o *office) Revoke(_ context.Context, agent string) error {
	if o.authority == nil {
		return errors.New("agents of a NATS cluster of your own are revoked there")
	}
	return o.authority.Revoke(agent)
}
