package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// readWhole reads a file of at most so many bytes: what never ends, as /dev/zero,
// is refused at once. The error names the file.
func readWhole(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes: want at most that", path, most)
	}
	return text, err
}

// sameFile reports whether two names are of one file, which need not be there
// yet. Devices and pipes are nobody's alone.
func sameFile(a, b string) bool {
	at := place(a)
	if st, err := os.Stat(at); err == nil && !st.Mode().IsRegular() {
		return false
	}
	return at == place(b)
}

// place is the one name of a file: absolute, and without symbolic links.
func place(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil { // not there yet
		if real, err = filepath.EvalSymlinks(filepath.Dir(path)); err != nil {
			real = filepath.Dir(path)
		}
		real = filepath.Join(real, filepath.Base(path))
	}
	if abs, err := filepath.Abs(real); err == nil {
		return abs
	}
	return real
}

// named is a file with the flag that names it.
type named struct{ flag, path string }

// namedBy pairs a flag with its files, of which there may be none.
func namedBy(flag string, paths ...string) (files []named) {
	for _, path := range paths {
		if path != "" && path != "-" {
			files = append(files, named{flag, path})
		}
	}
	return files
}

// written are the files that the scan writes, without those of its state. It
// returns usage errors.
func (s *scan) written() ([]named, error) {
	outputs, err := s.o.paths()
	if err != nil {
		return nil, err
	}
	manifest, err := s.manifestPath()
	if err != nil {
		return nil, err
	}
	files := slices.Concat(namedBy("--output", outputs...), namedBy("--manifest", manifest))
	for _, where := range s.o.audit.tell.events {
		if where != "syslog" && !strings.HasPrefix(where, "syslog:") {
			files = append(files, named{"--event-log", where})
		}
	}
	return files, nil
}

// read are the files that the scan reads.
func (s *scan) read() []named {
	return slices.Concat(namedBy("--targets", s.o.targetFiles...), namedBy("--exclude-file", s.o.excludeFiles...),
		namedBy("--fragile", s.o.talk.fragileFiles...), namedBy("--policy", s.o.audit.policy))
}

// checkFiles refuses an output without a format, and that a file is written twice,
// or over what the scan reads. It returns usage errors.
func (s *scan) checkFiles() error {
	if err := s.o.checkFormats(); err != nil {
		return err
	}
	ours, err := s.written()
	if err != nil {
		return err
	}
	all := slices.Concat(ours, namedBy("--db", s.o.audit.db), s.read())
	for i, f := range ours {
		for _, g := range all[i+1:] {
			if sameFile(f.path, g.path) {
				return usageError("%s %s and %s %s are the same file", f.flag, f.path, g.flag, g.path)
			}
		}
	}
	return nil
}

// checkFolders refuses to write where no folder is. It returns usage errors.
func (s *scan) checkFolders() error {
	ours, err := s.written()
	for _, f := range ours {
		if dir, err := os.Stat(filepath.Dir(f.path)); err != nil || !dir.IsDir() {
			return usageError("%s %s: the folder %s does not exist", f.flag, f.path, filepath.Dir(f.path))
		}
	}
	return err
}
