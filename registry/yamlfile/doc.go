// Package yamlfile reads the project's YAML files strictly: one document, no
// key that is not known, none twice; and what is wrong is said by line, value
// and what was expected, in the words of somebody who writes YAML, never in
// Go's.
//
// # Design
//
// Values are decoded into types, and only a fault needs the tree of nodes, which
// knows the lines: 600 rules are read before the first packet, and parsing them
// is most of what that costs.
//
// It stands below registry because registry, fingerprint and reports all read
// such files, and imports point left.
package yamlfile
