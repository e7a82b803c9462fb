package listeners

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// packageRoot is a file system with, perhaps, a package database.
type packageRoot struct {
	root *os.Root // nil when it could not be opened
	own  bool     // it is this process's: its programs may be asked
	// known is true when a database was found.
	known bool
}

func openPackages(path string, own bool) *packageRoot {
	r, err := os.OpenRoot(path)
	if err != nil {
		return &packageRoot{own: own} // not ours to look into: nothing is said of packages
	}
	return &packageRoot{root: r, own: own}
}

func (r *packageRoot) close() {
	if r.root != nil {
		_ = r.root.Close()
	}
}

// owners fills in the package of each path, "" for none.
func (r *packageRoot) owners(ctx context.Context, paths map[string]string) {
	if r.root == nil {
		return
	}
	r.dpkg(ctx, paths)
	r.apk(paths)
	if r.own && !r.known {
		r.rpm(ctx, paths)
	}
}

// open opens a plain file for reading. A pipe or device that a container put in
// its place is refused, without waiting for it.
func (r *packageRoot) open(name string) (*os.File, bool) {
	f, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, false
	}
	return f, true
}

// maxDatabase bounds one file of a package database, in bytes.
const maxDatabase = 64 << 20

// read returns a whole file, nil where it cannot be read.
func (r *packageRoot) read(name string) []byte {
	f, ok := r.open(name)
	if !ok {
		return nil
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxDatabase))
	if err != nil {
		return nil
	}
	return b
}

// lines calls fn for each line of a file, however long. It reports whether the
// file could be read.
func (r *packageRoot) lines(name string, fn func(line string)) bool {
	text := r.read(name)
	for line := range bytes.Lines(text) {
		fn(string(bytes.TrimSuffix(line, []byte{'\n'})))
	}
	return text != nil
}

// spellings are the paths under which a database may record a file: since /bin
// and others became links into /usr, either may stand there.
func spellings(path string) []string {
	if short, ok := strings.CutPrefix(path, "/usr/"); ok {
		return []string{path, "/" + short}
	}
	return []string{path, "/usr" + path}
}

// dpkg reads the lists of files of Debian's packages, and their versions.
func (r *packageRoot) dpkg(ctx context.Context, paths map[string]string) {
	dir, err := r.root.Open("var/lib/dpkg/info")
	if err != nil {
		return
	}
	names, err := dir.Readdirnames(-1)
	if e := dir.Close(); err != nil || e != nil {
		return
	}
	found := map[string]string{}  // path -> package
	wanted := map[string]string{} // spelling as a line -> path
	for path := range paths {
		for _, s := range spellings(path) {
			wanted["\n"+s+"\n"] = path
		}
	}
	for _, name := range names {
		pkg, ok := strings.CutSuffix(name, ".list")
		if !ok || ctx.Err() != nil {
			continue
		}
		r.known = true
		list := append([]byte{'\n'}, r.read("var/lib/dpkg/info/"+name)...)
		for line, path := range wanted {
			if bytes.Contains(list, []byte(line)) {
				found[path], _, _ = strings.Cut(pkg, ":")
			}
		}
		if len(found) == len(paths) {
			break
		}
	}
	if len(found) == 0 {
		return
	}
	versions, pkg := map[string]string{}, ""
	r.lines("var/lib/dpkg/status", func(line string) {
		if rest, ok := strings.CutPrefix(line, "Package: "); ok {
			pkg = rest
		} else if rest, ok := strings.CutPrefix(line, "Version: "); ok {
			versions[pkg] = rest
		}
	})
	for path, pkg := range found {
		paths[path] = cut(strings.TrimSpace(pkg + " " + versions[pkg]))
	}
}

// apk reads Alpine's database: P: and V: begin a package, F: names a folder,
// R: a file in it.
func (r *packageRoot) apk(paths map[string]string) {
	var pkg, version, folder string
	if r.lines("lib/apk/db/installed", func(line string) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "P":
			pkg, version = value, ""
		case "V":
			version = value
		case "F":
			folder = value
		case "R":
			for _, p := range spellings("/" + folder + "/" + value) {
				if _, ok := paths[p]; ok {
					paths[p] = cut(strings.TrimSpace(pkg + " " + version))
				}
			}
		}
	}) {
		r.known = true
	}
}

// rpm asks the program: its database is not a text. It reads files only. It is
// the system's own, not one that PATH or HOME could put in its place.
func (r *packageRoot) rpm(ctx context.Context, paths map[string]string) {
	for path := range paths {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		cmd := exec.CommandContext(one, "/bin/rpm", "-qf", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n", "--", path)
		cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
		out, err := cmd.Output()
		cancel()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			return // it is not there
		}
		r.known = true
		if first, _, _ := strings.Cut(string(out), "\n"); err == nil {
			paths[path] = cut(first)
		}
	}
}
