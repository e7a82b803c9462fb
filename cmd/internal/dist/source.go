package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Source is what is shipped.
type Source struct {
	Dir    string
	Commit string // empty where there is no repository
	At     time.Time
	// Changed is set when the working tree has what the commit has not; that is
	// not shipped.
	Changed bool
}

// Checkout copies the last commit of the repository at root into dir, under the
// tag of version if one is given, so that Go writes that into the binary. Where
// there is no repository the folder itself is the source.
func Checkout(ctx context.Context, root, dir, version string) (*Source, error) {
	s := &Source{Dir: root}
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		if version == "" {
			return nil, fmt.Errorf("dist: no repository in %s: want VERSION=1.2.3", root)
		}
		return s, s.time(ctx)
	}
	git := func(where string, args ...string) (string, error) {
		out, err := output(exec.CommandContext(ctx, "git", append([]string{"-C", where}, args...)...))
		return strings.TrimSpace(out), err
	}
	status, err := git(root, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	s.Changed = status != ""
	s.Dir = filepath.Join(dir, "source")
	clone := []string{"clone", "--quiet", "--no-hardlinks", "--config", "core.autocrlf=false", ".", s.Dir}
	if version != "" {
		clone = append(clone, "--no-tags")
	}
	if _, err := git(root, clone...); err != nil {
		return nil, err
	}
	if s.Commit, err = git(s.Dir, "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	if version != "" {
		if _, err := git(s.Dir, "tag", "v"+version); err != nil {
			return nil, err
		}
	}
	return s, s.time(ctx)
}

// time is that of the commit; SOURCE_DATE_EPOCH, in seconds since 1970, goes
// before it.
func (s *Source) time(ctx context.Context) error {
	text, given := os.LookupEnv("SOURCE_DATE_EPOCH")
	if !given && s.Commit == "" {
		return fmt.Errorf("dist: no repository in %s: want SOURCE_DATE_EPOCH, in seconds since 1970", s.Dir)
	}
	if !given {
		out, err := output(exec.CommandContext(ctx, "git", "-C", s.Dir, "show", "-s", "--format=%ct", "HEAD"))
		if err != nil {
			return err
		}
		text = strings.TrimSpace(out)
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return fmt.Errorf("dist: SOURCE_DATE_EPOCH %q: want seconds since 1970", text)
	}
	s.At = time.Unix(seconds, 0).UTC()
	return nil
}

// ParseVersion takes 1.2.3, v1.2.3 or 1.2.3-rc.1 and returns it without the v;
// "" stays "". From 2 on Go wants the number in the path of the module, too.
func ParseVersion(s string) (string, error) {
	v := strings.TrimPrefix(s, "v")
	number := `(0|[1-9][0-9]*)`
	if s != "" && !regexp.MustCompile(`^[01]\.`+number+`\.`+number+`(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$`).MatchString(v) {
		return "", fmt.Errorf("dist: VERSION %q: want something like 1.2.3 or 1.2.3-rc.1, below 2.0.0", s)
	}
	return v, nil
}
