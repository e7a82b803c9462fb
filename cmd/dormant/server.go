package main

import (
	"net"
	"net/netip"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/web"
)

// serverOptions are the flags of the server.
type serverOptions struct {
	config string
	state  string
	listen string
	names  []string
	bus    busOptions
	db     string
	store  int64

	web       string
	webToken  string
	webHeader string
	webURL    string
	webFrom   []string
	webCert   string
	webKey    string
	metrics   string

	once bool
	jobs []string
}

// busOptions are the flags of a NATS cluster of the user's own.
type busOptions struct {
	urls          []string
	creds, nkey   string
	ca, cert, key string
}

func (o *busOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.urls, "nats", nil, "use the NATS cluster at `URL` instead of the broker inside: nats://HOST:PORT, tls://… (repeatable)")
	flags.StringVar(&o.creds, "nats-creds", "", "credentials `FILE` for the cluster, a JWT with its seed")
	flags.StringVar(&o.nkey, "nats-nkey", "", "seed `FILE` of an NKey for the cluster")
	flags.StringVar(&o.ca, "nats-ca", "", "certificates of the cluster's authority, in `FILE`")
	flags.StringVar(&o.cert, "nats-cert", "", "certificate `FILE` of this server for the cluster")
	flags.StringVar(&o.key, "nats-key", "", "key `FILE` of that certificate")
}

// dial are the options of a connection to the cluster.
func (o *busOptions) dial(a *app, name string) broker.Options {
	return broker.Options{URLs: o.urls, Name: name, Creds: o.creds, NKey: o.nkey, CA: o.ca, Cert: o.cert, Key: o.key, Log: a.log}
}

// newServer runs scheduled audits of several sites.
func newServer(a *app) *cobra.Command {
	var o serverOptions
	cmd := &cobra.Command{
		Use:   "server --config FILE",
		Short: "scheduled audits of several sites, carried out by agents",
		Long: `Reads jobs from a file, cuts each run into shards, gives them to the agents of
each site over NATS JetStream, and judges, stores, compares and reports what comes
back. What is not over when it ends goes on at the next start. The jobs file is read
at the start: a change of it holds from the next one, and what a run asks does not
change once it has begun. The policies, rules and registries that it names are read
anew for each run.

Without --listen no port is opened, and only agents on --nats can come. The broker
inside keeps everything in the state folder; so does the history, unless --db says
otherwise. dormant server token makes what an agent is enrolled with.

With --once the jobs run now, once, and the exit code tells: 0 complete, 1 against
the policy, 3 incomplete.`,
		Example: `  dormant server example > jobs.yaml
  dormant server check jobs.yaml
  dormant server --config jobs.yaml --listen :4222 --name audit.example.net
  dormant server --config jobs.yaml --once --job nightly`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{ownConfig: "the jobs file"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.config == "" {
				return usageError("--config FILE: want a jobs file; dormant server example prints one to begin with")
			}
			return runServer(cmd.Context(), a, &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.config, "config", "", "the jobs, in `FILE`")
	addStateFlag(flags, &o.state)
	flags.StringVar(&o.listen, "listen", "", "let agents come to this `ADDRESS`, HOST:PORT or :PORT (default: no port)")
	flags.StringSliceVar(&o.names, "name", nil, "`NAME` or address by which agents find this server, with or without a port (repeatable)")
	o.bus.addFlags(flags)
	flags.StringVar(&o.db, "db", "", "history: a `FILE` or postgres://… (default history.db in the state folder)")
	flags.Int64Var(&o.store, "store-size", 0, "let the broker inside keep at most so many `BYTES` on the disk (default 4 GiB)")
	flags.StringVar(&o.web, "web", "", "show a web page at this `ADDRESS`, such as 127.0.0.1:8080 (default: none)")
	flags.StringVar(&o.webToken, "web-token-file", "", "the token that lets into the page, in `FILE` (default web.token in the state folder, made if it is not there)")
	flags.StringVar(&o.webHeader, "web-proxy-header", "", "believe in this `HEADER` of a proxy, such as X-Forwarded-User, who asks for the page")
	flags.StringSliceVar(&o.webFrom, "web-proxy-from", nil, "the addresses or `NETWORKS` of that proxy (repeatable)")
	flags.StringVar(&o.webURL, "web-url", "", "the `URL` that people type where a proxy in front speaks TLS, such as https://audit.example.net: cookies are then for TLS only")
	flags.StringVar(&o.webCert, "web-tls-cert", "", "serve the page with the certificate in `FILE`, which is read again when it changes")
	flags.StringVar(&o.webKey, "web-tls-key", "", "and its key in `FILE`")
	flags.StringVar(&o.metrics, "metrics", "", "serve /metrics, /healthz and /readyz at this `ADDRESS` (default: none)")
	flags.BoolVar(&o.once, "once", false, "run the jobs now, once, and end")
	flags.StringSliceVar(&o.jobs, "job", nil, "with --once: only this `JOB` (repeatable)")
	cmd.AddCommand(newServerExample(a), newServerCheck(a), newServerStart(a), newServerStatus(a), newServerDead(a), newServerRequeue(a), newServerToken(a), newServerAgents(a), newServerPermissions(a))
	return cmd
}

// check finds what no single flag can know. It returns usage errors.
func (o *serverOptions) check() error {
	switch {
	case len(o.bus.urls) > 0 && o.listen != "":
		return usageError("--listen is for the broker inside: with --nats agents come to the cluster")
	case len(o.jobs) > 0 && !o.once:
		return usageError("--job: want --once with it; dormant server start runs a job of a running server")
	case (o.webCert == "") != (o.webKey == ""):
		return usageError("--web-tls-cert and --web-tls-key: want both")
	case o.web == "" && (o.webHeader != "" || len(o.webFrom) > 0 || o.webCert != "" || o.webToken != "" || o.webURL != ""):
		return usageError("--web-…: want --web ADDRESS with it")
	case o.web != "":
		err := web.CheckListen(o.web, o.webCert != "")
		if err == nil && o.webURL != "" {
			err = web.CheckPublic(o.webURL)
		}
		if err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if _, _, err := net.SplitHostPort(o.metrics); o.metrics != "" && err != nil {
		return usageError("--metrics %q: want ADDRESS:PORT such as 127.0.0.1:9470", o.metrics)
	}
	return nil
}

// proxies reads --web-proxy-from.
func (o *serverOptions) proxies() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range o.webFrom {
		p, err := netip.ParsePrefix(s)
		if addr, aerr := netip.ParseAddr(s); aerr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, usageError("--web-proxy-from %q: want an address or a network such as 10.0.0.0/24", s)
		}
		all = append(all, p)
	}
	return all, nil
}

// sayReady tells where the server can be found.
func sayReady(a *app, what, where string) { a.log.Info(what, "at", where) }
