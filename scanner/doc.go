// Package scanner finds out who answers: it turns target lists into a plan,
// paces the probes, hands them to a Backend and reports observations.
package scanner
