package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Pages are the manual pages and the completions, as the program writes them.
type Pages struct {
	Man                         Files
	Bash, Zsh, Fish, PowerShell []byte
}

// ReadPages has the program print its pages. It must run on this machine.
func (b *Build) ReadPages(ctx context.Context, p *Program) (pages Pages, err error) {
	home := filepath.Join(b.Work, "home") // no configuration of whoever builds
	if err := os.MkdirAll(home, 0o755); err != nil {
		return pages, fmt.Errorf("dist: %w", err)
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, p.Path, args...)
		cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "TZ=UTC"}
		cmd.Env = append(cmd.Env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.Source.At.Unix()))
		out, err := output(cmd)
		return []byte(out), err
	}
	dir := filepath.Join(b.Work, "man")
	if _, err := run("man", "--dir", dir); err != nil {
		return pages, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return pages, fmt.Errorf("dist: %w", err)
	}
	for _, e := range entries {
		page, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return pages, fmt.Errorf("dist: %w", err)
		}
		pages.Man.Add(e.Name(), page)
	}
	for _, c := range []struct {
		shell string
		to    *[]byte
	}{{"bash", &pages.Bash}, {"zsh", &pages.Zsh}, {"fish", &pages.Fish}, {"powershell", &pages.PowerShell}} {
		if *c.to, err = run("completion", c.shell); err != nil {
			return pages, err
		}
	}
	return pages, nil
}

// Below an archive's top folder, where a user looks for them.
func (p *Pages) files() Files {
	all := p.Man.Below("man/man1")
	all.Add("completions/dormant.bash", p.Bash)
	all.Add("completions/_dormant", p.Zsh)
	all.Add("completions/dormant.fish", p.Fish)
	all.Add("completions/dormant.ps1", p.PowerShell)
	return all
}
