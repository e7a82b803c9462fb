package main

import (
	"os"
	"path/filepath"
	"strings"
)

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

// checkFiles refuses that a file is written twice, or over what the scan reads.
// It returns usage errors.
func (s *scan) checkFiles() error {
	var named, files []string // a flag with its file, and the file
	add := func(flag string, paths ...string) {
		for _, path := range paths {
			if path != "" && path != "-" {
				named, files = append(named, flag+" "+path), append(files, path)
			}
		}
	}
	outputs, err := s.o.paths()
	if err != nil {
		return err
	}
	manifest, err := s.manifestPath()
	if err != nil {
		return err
	}
	add("--output", outputs...)
	add("--manifest", manifest)
	for _, where := range s.o.audit.tell.events {
		if where != "syslog" && !strings.HasPrefix(where, "syslog:") {
			add("--event-log", where)
		}
	}
	written := len(files)
	add("--db", s.o.audit.db)
	add("--targets", s.o.targetFiles...)
	add("--exclude-file", s.o.excludeFiles...)
	add("--fragile", s.o.talk.fragileFiles...)
	add("--policy", s.o.audit.policy)
	for i := range written {
		for j := i + 1; j < len(files); j++ {
			if sameFile(files[i], files[j]) {
				return usageError("%s and %s are the same file", named[i], named[j])
			}
		}
	}
	return nil
}
