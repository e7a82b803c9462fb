//go:build !unix

package reports

// planted is false: a link takes a privilege here.
func planted(string) bool { return false }
