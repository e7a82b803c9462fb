//go:build !linux

package main

// rawBackends: raw frames are for Linux.
func rawBackends() []backendKind { return nil }
