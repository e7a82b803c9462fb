// Command dormant sweeps networks for ports that are registered and dormant,
// and finds out what really answers there.
//
// This folder holds one file a command, and wires together what the other
// packages do: flags and files become their configuration, their errors become
// exit codes (app.go). What commands need and no package to the left could use
// stands in cmd/internal:
//
//	one run
//	  pipeline    sweep, dialogue, verdict and report joined: Source -> Judge -> Sink
//	  checkpoint  what a run that was stopped or killed needs to go on
//	  disk        records, whole files and locks for those journals
//	  portlist    lists of ports as people type them
//	  doctor      can a scan run here, and what stands in its way
//	  schedule    a scan that comes back: units of systemd, lines of cron
//	many sites
//	  server      jobs, times, shards, and the judgement of what agents send
//	  agent       takes shards, has them swept, keeps results until they are taken
//	  fleet       what the two say to each other
//	  broker      NATS between them, inside the server or beside it
//	  enroll      who is an agent: certificates, tokens, revocation
//	  web         the server's page for people
//	  metrics     the server's page for Prometheus
//	to try it and to build it
//	  lab         an emulated network on loopback: the command, the demo, tests
//	  isolate     runs a test in a network namespace without a way out
//	  benchlab    measures against other scanners
//	  dist        builds what is shipped
//
// # Design
//
// Only main ends the process, and run is a function of its arguments and
// streams: every test of a command line calls the very same code.
//
// stdout carries results and nothing else, stderr carries the rest: a pipe
// behind any command gets clean input. Nothing listens and nothing is sent
// anywhere that was not asked for.
package main
