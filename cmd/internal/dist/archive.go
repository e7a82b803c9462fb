package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Tar returns the files as a tar archive: owned by root, all of the same time,
// in the order in which they are given. prefix stands before each name, "./" as
// Debian has it or "". It is in the format USTAR where the names fit, and
// depends on nothing but what it is given.
func Tar(files Files, at time.Time, prefix string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: prefix + f.Name, Mode: tarMode(f), Size: int64(len(f.Data)),
			Uname: "root", Gname: "root", ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatUSTAR,
		}
		if f.Mode.IsDir() {
			h.Typeflag, h.Name, h.Size = tar.TypeDir, h.Name+"/", 0
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("dist: tar %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("dist: tar %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("dist: tar: %w", err)
	}
	return b.Bytes(), nil
}

// tarMode is the mode as Unix writes it.
func tarMode(f File) int64 {
	mode := int64(f.Mode.Perm())
	if f.Mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

// Gzip returns data as gzip -n leaves it: without a name and without a time. The
// best compression takes three times as long to save less than one percent of a program.
func Gzip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("dist: gzip: %w", err)
	}
	return b.Bytes(), nil
}

// TarGz returns the files as a compressed tar archive.
func TarGz(files Files, at time.Time, prefix string) ([]byte, error) {
	b, err := Tar(files, at, prefix)
	if err != nil {
		return nil, err
	}
	return Gzip(b)
}

// Zip returns the files as a zip archive. Times before 1980 cannot be said in
// it and become the first of January of that year.
func Zip(files Files, at time.Time) ([]byte, error) {
	if first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(first) {
		at = first
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: at.UTC().Truncate(2 * time.Second)}
		h.SetMode(f.Mode)
		if f.Mode.IsDir() {
			h.Name, h.Method = h.Name+"/", zip.Store
		}
		to, err := w.CreateHeader(h)
		if err == nil {
			_, err = to.Write(f.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("dist: zip %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("dist: zip: %w", err)
	}
	return b.Bytes(), nil
}

// arHead begins an ar archive.
const arHead = "!<arch>\n"

// Ar returns the files as an ar archive in the common format of deb(5): names
// of at most 16 bytes without blanks, decimal numbers padded with blanks, data
// padded to an even length.
func Ar(files Files, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	io.WriteString(&b, arHead) //nolint:errcheck // a buffer takes everything
	for _, f := range files {
		if len(f.Name) == 0 || len(f.Name) > 16 || bytes.ContainsAny([]byte(f.Name), " /\n") {
			return nil, fmt.Errorf("dist: ar: name %q: want 1 to 16 bytes, no blank and no slash", f.Name)
		}
		if at.Unix() < 0 || int64(len(f.Data)) > 9_999_999_999 {
			return nil, fmt.Errorf("dist: ar %s: a time before 1970 or more than ten digits of bytes", f.Name)
		}
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", f.Name, at.Unix(), 0, 0, 0o100000|f.Mode.Perm(), len(f.Data))
		b.Write(f.Data)
		if len(f.Data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), nil
}
