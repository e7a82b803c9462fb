//go:build !linux

package lab

import "testing"

// manyDescriptors is false: the box that accepts on every port needs Linux.
func manyDescriptors(*testing.T) bool { return false }
