// Package metrics shows the server to Prometheus and to whoever watches over
// its process:
//
//	/metrics   what the fleet does, what the newest runs found, the process itself
//	/healthz   200 as long as the process answers
//	/readyz    200 while broker, database and disk are well, else 503 and why
//
// # Design
//
// Everything is read when it is asked for, from the same Status that the page
// and the command line show: there is no second count that could differ. The
// registry is the package's own; what other libraries register does not appear.
//
// What a run found is a gauge and no counter: a port that is open in two runs is
// one open port. A place whose newest run is incomplete says so beside its
// numbers, because fewer findings may only mean that less was asked.
//
// Labels are names that the administrator gave: sites, vantages, jobs, agents.
// Nothing that a peer said becomes a label, and no address does, so the number
// of series is bounded by the configuration.
//
// There is no login: the numbers tell no finding. An address that others can
// reach is the choice of who gives it.
package metrics
