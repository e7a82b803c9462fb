package main

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// File is one file or folder of an archive.
type File struct {
	// Name is relative and with slashes; a folder's has none at its end.
	Name string
	// Mode is the permissions with fs.ModeSticky, and fs.ModeDir for a folder.
	Mode fs.FileMode
	Data []byte
}

// Files are the content of an archive.
type Files []File

// Add adds a file that everybody may read.
func (f *Files) Add(name string, data []byte) { *f = append(*f, File{name, 0o644, data}) }

// Program adds a file that everybody may run.
func (f *Files) Program(name string, data []byte) { *f = append(*f, File{name, 0o755, data}) }

// Folder adds a folder.
func (f *Files) Folder(name string, perm fs.FileMode) {
	*f = append(*f, File{Name: name, Mode: fs.ModeDir | perm})
}

// Below returns the files with all names in a folder.
func (f Files) Below(folder string) Files {
	all := slices.Clone(f)
	for i := range all {
		all[i].Name = path.Join(folder, all[i].Name)
	}
	return all
}

// Tree returns the files with every folder that they stand in, in the order of
// names, so that a folder comes before what is in it.
func (f Files) Tree() Files {
	all, have := slices.Clone(f), map[string]bool{}
	for i := range f {
		have[f[i].Name] = true
	}
	for i := range f {
		for dir := path.Dir(f[i].Name); dir != "." && dir != "/" && !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			all.Folder(dir, 0o755)
		}
	}
	slices.SortFunc(all, func(a, b File) int {
		return cmp.Compare(strings.ReplaceAll(a.Name, "/", "\x00"), strings.ReplaceAll(b.Name, "/", "\x00"))
	})
	return all
}
