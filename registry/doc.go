// Package registry says what should be behind a port: who registered it, what
// became of them, what is found there instead. It is the leaf of the project
// and holds the two nouns that every other package shares, Proto and Port.
package registry
