package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func record(body string) []byte {
	return AppendFrame(nil, func(b []byte) []byte { return append(b, body...) })
}

func TestReadFrame(t *testing.T) {
	whole := record("what was said")
	damaged := bytes.Clone(whole)
	damaged[FrameLen] ^= 1
	for _, tt := range []struct {
		name string
		in   []byte
		want string
		err  error
	}{
		{"whole", whole, "what was said", nil},
		{"end", nil, "", io.EOF},
		{"half a head", whole[:5], "", ErrTorn},
		{"half a body", whole[:len(whole)-1], "", ErrTorn},
		{"no body", make([]byte, FrameLen), "", ErrTorn},
		{"damaged", damaged, "", ErrTorn},
		{"claims four gigabytes", bytes.Repeat([]byte{0xff}, 64), "", ErrTorn},
		{"claims more than there is", []byte{0, 0, 0xf0, 3, 1, 2, 3, 4, 5}, "", ErrTorn},
	} {
		got, err := ReadFrame(bytes.NewReader(tt.in), nil)
		if !errors.Is(err, tt.err) || err == nil && string(got) != tt.want {
			t.Errorf("%s: ReadFrame = %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// A disk that fails is not the end of the file: what stands behind is not given up.
func TestReadFrameOfAFailingDisk(t *testing.T) {
	whole, broken := record("what was said"), errors.New("input/output error")
	for _, n := range []int{0, 5, FrameLen, len(whole) - 1} {
		r := io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken))
		if _, err := ReadFrame(r, nil); !errors.Is(err, broken) || errors.Is(err, ErrTorn) {
			t.Errorf("a fault behind %d bytes: %v; want %v", n, err, broken)
		}
	}
}

// TestFramesOfEverySize goes over the sizes at which the buffer grows.
func TestFramesOfEverySize(t *testing.T) {
	var file, buf []byte
	sizes := []int{1, 7, firstRead - 1, firstRead, firstRead + 1, 2*firstRead + 1, 5, 5 * firstRead}
	for _, n := range sizes {
		file = AppendFrame(file, func(b []byte) []byte { return append(b, bytes.Repeat([]byte{byte(n)}, n)...) })
	}
	r := bytes.NewReader(file)
	for _, n := range sizes {
		var err error
		if buf, err = ReadFrame(r, buf); err != nil || !bytes.Equal(buf, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Fatalf("a record of %d bytes: %d bytes, %v", n, len(buf), err)
		}
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for _, text := range []string{"first", "second"} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text, string(got)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	if err := Replace(filepath.Join(path, "below a file"), nil); err == nil {
		t.Error("Replace below a file succeeds")
	}
}

// FuzzReadFrame: what is read is written the same, and nothing else is taken.
func FuzzReadFrame(f *testing.F) {
	f.Add(record("a"))
	f.Add(append(record("one"), record("two")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var again, buf []byte
		for {
			var err error
			if buf, err = ReadFrame(r, buf); err != nil {
				break
			}
			again = AppendFrame(again, func(b []byte) []byte { return append(b, buf...) })
		}
		if !bytes.HasPrefix(in, again) {
			t.Errorf("read %x, which is written as %x", in, again)
		}
	})
}
