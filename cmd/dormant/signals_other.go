//go:build !unix

package main

// watchSignals does nothing: there are no signals to pause with here.
func watchSignals(*hold) (stop func()) { return func() {} }
