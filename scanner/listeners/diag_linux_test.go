package listeners

import (
	"bytes"
	"testing"
)

// FuzzParseDiag: whatever is read is in the bytes.
func FuzzParseDiag(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 72))
	f.Add(append(make([]byte, 72), 5, 0, 11, 0, 1, 0, 0, 0))
	f.Add(append(make([]byte, 72), 255, 255, 11, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		inode, got, ok := parseDiag(b)
		if !ok && (inode != 0 || got != bounds{}) {
			t.Errorf("%d, %+v of what is none", inode, got)
		}
		if ok && got.v6only && !bytes.Contains(b[72:], []byte{11, 0}) {
			t.Errorf("v6only without the attribute in % x", b[72:])
		}
	})
}
