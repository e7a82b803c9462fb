//go:build !linux

package main

import "syscall"

// bindTo leaves the choice to the routes: there is no portable way to take it.
func bindTo(string) func(network, address string, c syscall.RawConn) error { return nil }
