// Package wire is the scanner's Backend over raw frames.
package wire
