package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

const (
	program = "./cmd/dormant"
	// tags have the time zones linked in, for jobs say time_zone and neither
	// Windows nor an empty container knows any.
	tags = "timetzdata"
)

// Platform is what a binary runs on, in Go's words.
type Platform struct{ OS, Arch string }

// String is the platform as names of files have it: linux_amd64.
func (p Platform) String() string { return p.OS + "_" + p.Arch }

// words are the platform as people write it: linux/amd64.
func (p Platform) words() string { return p.OS + "/" + p.Arch }

// Binary is the name of the program there.
func (p Platform) Binary() string {
	if p.OS == "windows" {
		return "dormant.exe"
	}
	return "dormant"
}

// Platforms are those that are shipped.
func Platforms() []Platform {
	return []Platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}
}

// ParsePlatforms takes linux/amd64,darwin/arm64; "" is all.
func ParsePlatforms(s string) (some []Platform, err error) {
	if s == "" {
		return Platforms(), nil
	}
	var known []string
	for _, p := range Platforms() {
		known = append(known, p.words())
	}
	for one := range strings.SplitSeq(s, ",") {
		i := slices.Index(known, one)
		if i < 0 {
			return nil, fmt.Errorf("dist: platform %q: want some of %s", one, strings.Join(known, ","))
		}
		if slices.Contains(some, Platforms()[i]) {
			return nil, fmt.Errorf("dist: platform %q is given twice", one)
		}
		some = append(some, Platforms()[i])
	}
	return some, nil
}

// Build runs Go's tools in a source folder.
type Build struct {
	Source *Source
	Work   string // a folder for what is built
}

// Program is one binary and what Go says about it.
type Program struct {
	Platform
	Path string
	Data []byte
	Info *debug.BuildInfo
}

// Program builds for one platform.
func (b *Build) Program(ctx context.Context, p Platform) (*Program, error) {
	out := &Program{Platform: p, Path: filepath.Join(b.Work, p.String(), p.Binary())}
	_, err := b.goTool(ctx, p, "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w -buildid=", "-o", out.Path, program)
	if err != nil {
		return nil, err
	}
	if out.Data, err = os.ReadFile(out.Path); err != nil {
		return nil, fmt.Errorf("dist: %w", err)
	}
	if out.Info, err = buildinfo.Read(bytes.NewReader(out.Data)); err != nil {
		return nil, fmt.Errorf("dist: %s: %w", out.Path, err)
	}
	return out, nil
}

// goTool runs the go command for a platform, with nothing from the environment
// that would change what it builds, and returns its standard output.
func (b *Build) goTool(ctx context.Context, p Platform, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.Source.Dir
	vcs := "-buildvcs=false"
	if b.Source.Commit != "" {
		vcs = "-buildvcs=true"
	}
	cmd.Env = append(os.Environ(), "GOOS="+p.OS, "GOARCH="+p.Arch, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly "+vcs,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
	return output(cmd)
}

// output runs a command and returns what it prints; what it says against it
// becomes the error.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("dist: %s: %w: %s", strings.Join(cmd.Args[:2], " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("dist: %w", err)
	}
	return string(out), nil
}
