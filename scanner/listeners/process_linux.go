package listeners

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// describer tells what is known of processes, and remembers the file systems
// that they live in.
type describer struct {
	proc  string
	boot  time.Time
	own   string // the mount namespace of this process
	roots map[string]*packageRoot
	home  map[int]*packageRoot // by process
}

func newDescriber(proc string) *describer {
	d := &describer{proc: proc, roots: map[string]*packageRoot{}, home: map[int]*packageRoot{}}
	d.own, _ = os.Readlink(filepath.Join(proc, "thread-self/ns/mnt"))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return d // no start times
	}
	for line := range strings.Lines(string(stat)) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			if sec, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				d.boot = time.Unix(sec, 0).UTC()
			}
		}
	}
	return d
}

// ticks is USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// describe reads what a process tells; false when it has ended.
func (d *describer) describe(pid int) (Process, bool) {
	dir := filepath.Join(d.proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, false
	}
	p := Process{PID: pid}
	if n, ok := startTicks(string(stat)); ok && !d.boot.IsZero() {
		p.Started = d.boot.Add(time.Duration(n) * time.Second / ticks)
	}
	if a, b := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')'); a >= 0 && b > a {
		p.Name = string(stat[a+1 : b])
	}
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		p.Path, p.Deleted = strings.CutSuffix(exe, " (deleted)")
		p.Name = filepath.Base(p.Path)
	}
	if info, err := os.Stat(dir); err == nil {
		p.User = owner(info)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		p.Script = script(p.Name, string(text))
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cgroup")); err == nil {
		p.Unit, p.Group = placed(string(text))
	}
	mount, err := os.Readlink(filepath.Join(dir, "ns/mnt"))
	if err == nil && d.roots[mount] == nil {
		root := "/"
		if mount != d.own {
			root = filepath.Join(dir, "root")
		}
		d.roots[mount] = openPackages(root, mount == d.own)
	}
	d.home[pid] = d.roots[mount]
	return p, true
}

// packages fills in which package owns each process's file.
func (d *describer) packages(ctx context.Context, all []Listener) {
	wanted := map[*packageRoot]map[string]string{}
	for _, l := range all {
		if l.Process == nil || l.Process.Path == "" || d.home[l.Process.PID] == nil {
			continue
		}
		root := d.home[l.Process.PID]
		if wanted[root] == nil {
			wanted[root] = map[string]string{}
		}
		wanted[root][l.Process.Path] = ""
	}
	for root, paths := range wanted {
		root.owners(ctx, paths)
	}
	for _, l := range all {
		if l.Process == nil {
			continue
		}
		if root := d.home[l.Process.PID]; root != nil {
			l.Process.Package, l.Process.Packed = wanted[root][l.Process.Path], root.known
		}
	}
}

func (d *describer) close() {
	for _, r := range d.roots {
		r.close()
	}
}

// userName is the name of a user id on this host, else "".
func userName(uid int) string {
	if uid < 0 {
		return ""
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return ""
	}
	return u.Username
}
