// Package reports turns findings into what people and other programs read.
// There is one Finding, and every format prints it.
package reports
