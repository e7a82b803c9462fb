//go:build !linux && !windows

package listeners

// service is for Windows.
func service(int32) string { return "" }
