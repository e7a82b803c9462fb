package main

import (
	"crypto/md5" //nolint:gosec // what md5sums of deb(5) wants; it is no protection
	"fmt"
	"path"
	"strings"
	"time"
)

// Debian describes one package.
type Debian struct {
	Version    string // of Debian, see DebianVersion
	Arch       string
	Maintainer string // name and <address>
	At         time.Time
}

// Name is the name of the package's file.
func (d *Debian) Name() string { return fmt.Sprintf("dormant_%s_%s.deb", d.Version, d.Arch) }

// DebianVersion turns a version of Go into one of Debian: what is before a
// release sorts before it, and no hyphen is left that would begin a revision.
func DebianVersion(version string) string {
	number, pre, ok := strings.Cut(version, "-")
	if !ok {
		return number
	}
	return number + "~" + strings.ReplaceAll(pre, "-", ".")
}

// Deb returns the package with the given files, as deb(5) wants it.
func (d *Debian) Deb(files Files) ([]byte, error) {
	tree := files.Tree()
	data, err := TarGz(tree, d.At, "./")
	if err != nil {
		return nil, err
	}
	control, err := d.control(tree)
	if err != nil {
		return nil, err
	}
	meta, err := TarGz(control, d.At, "./")
	if err != nil {
		return nil, err
	}
	var all Files
	all.Add("debian-binary", []byte("2.0\n"))
	all.Add("control.tar.gz", meta)
	all.Add("data.tar.gz", data)
	return Ar(all, d.At)
}

// control are the files about the package.
func (d *Debian) control(tree Files) (Files, error) {
	var size int64
	var sums, conffiles strings.Builder
	for _, f := range tree {
		size += 1024 // at least a block, as du counts
		if f.Mode.IsDir() {
			continue
		}
		size += int64(len(f.Data))
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.Data), f.Name) //nolint:gosec // see above
		if strings.HasPrefix(f.Name, "etc/") {
			fmt.Fprintf(&conffiles, "/%s\n", f.Name)
		}
	}
	text := fmt.Sprintf(`Package: dormant
Version: %s
Architecture: %s
Maintainer: %s
Installed-Size: %d
Depends: systemd | systemd-standalone-sysusers | systemd-sysusers, systemd | systemd-standalone-tmpfiles | systemd-tmpfiles
Section: net
Priority: optional
Description: find what really answers on registered but dormant ports
 dormant sweeps networks for ports that are registered and hardly used (3588,
 3712, 3047 and their relatives 1947, 5093, 475, tcp and udp), speaks with what
 answers, and tells license managers, development servers, other services and
 possible backdoors apart, with evidence. Reports are CSV, HTML and others.
 .
 Services for audits of several sites, a server and its agents, are installed
 and neither enabled nor started.
`, d.Version, d.Arch, d.Maintainer, (size+1023)/1024)
	var all Files
	all.Add("conffiles", []byte(conffiles.String()))
	all.Add("control", []byte(text))
	all.Add("md5sums", []byte(sums.String()))
	for _, script := range []string{"postinst", "postrm", "prerm"} {
		b, err := asset(script)
		if err != nil {
			return nil, err
		}
		all.Program(script, b)
	}
	return all, nil
}

// Content are the files of the package: the program, what describes it, and the
// services.
func (d *Debian) Content(p *Program, pages Pages, readme, notices []byte) (Files, error) {
	var all Files
	all.Program("usr/bin/dormant", p.Data)
	for _, page := range pages.Man {
		b, err := Gzip(page.Data)
		if err != nil {
			return nil, err
		}
		all.Add(path.Join("usr/share/man/man1", page.Name+".gz"), b)
	}
	all.Add("usr/share/bash-completion/completions/dormant", pages.Bash)
	all.Add("usr/share/zsh/vendor-completions/_dormant", pages.Zsh)
	all.Add("usr/share/fish/vendor_completions.d/dormant.fish", pages.Fish)
	for _, u := range units() {
		all.Add("usr/lib/systemd/system/"+u.File(), []byte(u.Text()))
	}
	all.Add("usr/lib/sysusers.d/dormant.conf", []byte(sysusers()))
	all.Add("usr/lib/tmpfiles.d/dormant.conf", []byte(tmpfiles()))
	for _, a := range []struct{ file, as string }{
		{"never-scan.txt", "etc/dormant/never-scan.txt"}, {"server.yaml", "etc/dormant/server.yaml"},
		{"agent.yaml", "etc/dormant/agent.yaml"}, {"server.default", "etc/default/dormant-server"},
		{"afxdp.conf", "usr/share/doc/dormant/examples/afxdp.conf"}, {"lintian", "usr/share/lintian/overrides/dormant"},
	} {
		b, err := asset(a.file)
		if err != nil {
			return nil, err
		}
		all.Add(a.as, b)
	}
	changes := fmt.Appendf(nil, "dormant (%s) unstable; urgency=medium\n\n  * This release.\n\n -- %s  %s\n",
		d.Version, d.Maintainer, d.At.Format(time.RFC1123Z))
	for _, a := range []struct {
		as   string
		data []byte
	}{{"changelog", changes}, {"THIRD_PARTY_LICENSES", notices}} {
		b, err := Gzip(a.data)
		if err != nil {
			return nil, err
		}
		all.Add("usr/share/doc/dormant/"+a.as+".gz", b)
	}
	all.Add("usr/share/doc/dormant/README.md", readme)
	all.Add("usr/share/doc/dormant/copyright", fmt.Appendf(nil, copyright, d.At.Year()))
	return all, nil
}

// copyright is the file that Debian wants. It names the licence that Debian has
// in full; the year is that of the release.
const copyright = `Copyright %d the authors of dormant
License: Apache-2.0

dormant is licensed under the Apache License, version 2.0; on Debian its text is
in /usr/share/common-licenses/Apache-2.0.

The program is linked with modules under the licences MIT, BSD, Apache-2.0, ISC
and others as permissive. Which, and their texts, stands in
/usr/share/doc/dormant/THIRD_PARTY_LICENSES.gz.
`
