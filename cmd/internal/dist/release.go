package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Release is everything that is shipped of one version.
type Release struct {
	Root, Out string
	// Version is without a v. Empty: what Go makes of tag and commit.
	Version    string
	Maintainer string
	Platforms  []Platform
	Log        io.Writer
}

// Make builds everything in a folder of its own and puts it to r.Out when all is
// there. It returns all licences that may not be shipped as one error.
func (r *Release) Make(ctx context.Context) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("dist: want Linux: the manual pages are printed by the program for Linux")
	}
	work, err := os.MkdirTemp("", "dormant-dist-")
	if err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	src, err := Checkout(ctx, r.Root, work, r.Version)
	if err != nil {
		return err
	}
	if src.Changed {
		fmt.Fprintln(r.Log, "dist: what is not committed is not in it")
	}
	b := &Build{Source: src, Work: filepath.Join(work, "build")}
	programs, err := r.programs(ctx, b)
	if err != nil {
		return err
	}
	if err := r.settle(programs[0]); err != nil {
		return err
	}
	files, err := r.files(ctx, b, programs)
	if err != nil {
		return err
	}
	if err := write(r.Out, files, src); err != nil {
		return err
	}
	fmt.Fprintf(r.Log, "dist: %s in %s, %d files\n", r.Version, r.Out, len(files))
	return nil
}

// programs builds for all platforms, two at a time.
func (r *Release) programs(ctx context.Context, b *Build) ([]*Program, error) {
	all := make([]*Program, len(r.Platforms))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // each uses several processors by itself
	for i, p := range r.Platforms {
		g.Go(func() (err error) { // ends with the build, which ctx cuts short
			all[i], err = b.Program(ctx, p)
			return err
		})
	}
	return all, g.Wait()
}

// settle takes the version from what Go wrote into the binary. If one was asked
// for it must be that.
func (r *Release) settle(p *Program) error {
	said := strings.TrimPrefix(p.Info.Main.Version, "v")
	if said == "(devel)" { // no repository
		said = r.Version
	}
	if r.Version != "" && said != r.Version {
		return fmt.Errorf("dist: VERSION %s: Go says %s: want one that fits the path of the module", r.Version, said)
	}
	r.Version = said
	return nil
}

// files makes everything of the programs.
func (r *Release) files(ctx context.Context, b *Build, programs []*Program) (Files, error) {
	own := slices.IndexFunc(programs, func(p *Program) bool { return p.OS == runtime.GOOS && p.Arch == runtime.GOARCH })
	if own < 0 {
		return nil, fmt.Errorf("dist: %s/%s is not among the platforms: nothing can print the manual pages", runtime.GOOS, runtime.GOARCH)
	}
	pages, err := b.ReadPages(ctx, programs[own])
	if err != nil {
		return nil, err
	}
	var docs Files
	for _, name := range []string{"LICENSE", "README.md"} {
		text, err := os.ReadFile(filepath.Join(b.Source.Dir, name))
		if err != nil {
			return nil, fmt.Errorf("dist: %w", err)
		}
		docs.Add(name, text)
	}
	made, modules, faults := make([]Files, len(programs)), make([][]Module, len(programs)), make([]error, len(programs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0)) // each is one compression after the other
	for i, p := range programs {
		g.Go(func() error { // ends when everything for the platform is made
			if modules[i], faults[i] = b.Modules(ctx, p.Platform, p.Info); faults[i] == nil {
				made[i], faults[i] = r.platform(b, p, modules[i], docs, pages)
			}
			return nil // all faults are told
		})
	}
	if err := errors.Join(g.Wait(), errors.Join(faults...)); err != nil {
		return nil, err
	}
	all := slices.Concat(made...)
	all.Add("THIRD_PARTY_LICENSES", Notices(slices.Concat(modules...)))
	image, err := Container(programs)
	if err != nil {
		return nil, err
	}
	all = append(all, image.Below("container")...)
	all.Add("SHA256SUMS", sums(all))
	return all.Tree(), nil
}

// platform makes what there is for one platform: the archive, the list of parts,
// and for Linux the package.
func (r *Release) platform(b *Build, p *Program, modules []Module, docs Files, pages Pages) (all Files, err error) {
	at, name := b.Source.At, fmt.Sprintf("dormant_%s_%s", r.Version, p.Platform)
	parts, err := SBOM(p, r.Version, modules, at)
	if err != nil {
		return nil, err
	}
	all.Add(name+".cdx.json", parts)
	notices := Notices(modules)
	content := append(slices.Clone(docs), pages.files()...)
	content.Program(p.Binary(), p.Data)
	content.Add("THIRD_PARTY_LICENSES", notices)
	content.Add("sbom.cdx.json", parts)
	tree := content.Below(name).Tree()
	archive, ending := []byte(nil), ".tar.gz"
	if p.OS == "windows" {
		ending = ".zip"
		archive, err = Zip(tree, at)
	} else {
		archive, err = TarGz(tree, at, "")
	}
	if err != nil {
		return nil, err
	}
	all.Add(name+ending, archive)
	if p.OS != "linux" {
		return all, nil
	}
	d := &Debian{Version: DebianVersion(r.Version), Arch: p.Arch, Maintainer: r.Maintainer, At: at}
	readme := docs[slices.IndexFunc(docs, func(f File) bool { return f.Name == "README.md" })].Data
	inside, err := d.Content(p, pages, readme, notices)
	if err != nil {
		return nil, err
	}
	pack, err := d.Deb(inside)
	all.Add(d.Name(), pack)
	return all, err
}

// sums are the digests of all files as sha256sum -c reads them.
func sums(files Files) []byte {
	var b bytes.Buffer
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	for _, f := range files {
		if !f.Mode.IsDir() {
			fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(f.Data), f.Name)
		}
	}
	return b.Bytes()
}

// write replaces dir by the files. What stood there goes only when the new ones
// are on the disk, and only if it is what this program wrote before.
func write(dir string, files Files, src *Source) error {
	dir = filepath.Clean(dir) // the new folder stands beside "dist", for "dist/" as well
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err != nil {
			return fmt.Errorf("dist: folder %s holds something else: want an empty one, or one that dist wrote", dir)
		}
	}
	next := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".new")
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	if err := os.MkdirAll(next, 0o755); err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	for _, f := range files {
		if err := put(filepath.Join(next, filepath.FromSlash(f.Name)), f); err != nil {
			return fmt.Errorf("dist: %w", err)
		}
	}
	for _, f := range slices.Backward(files) { // a folder after what is put into it
		if err := os.Chtimes(filepath.Join(next, filepath.FromSlash(f.Name)), src.At, src.At); err != nil {
			return fmt.Errorf("dist: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	if err := os.Rename(next, dir); err != nil {
		return fmt.Errorf("dist: %w", err)
	}
	return nil
}

// put writes one file or folder, with the mode that it has whatever the umask.
func put(name string, f File) error {
	perm := f.Mode & (fs.ModePerm | fs.ModeSticky)
	if f.Mode.IsDir() {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return os.Chmod(name, perm)
	}
	if err := os.WriteFile(name, f.Data, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, perm)
}
