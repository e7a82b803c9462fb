package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

//go:embed files
var assets embed.FS

// asset is one of the files that are shipped as they are.
func asset(name string) ([]byte, error) {
	b, err := assets.ReadFile("files/" + name)
	if err != nil {
		return nil, fmt.Errorf("dist: %w", err)
	}
	return b, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 all is there, 1 it could not be made, 2 usage.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	var r Release
	flags := flag.NewFlagSet("dist", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.Root, "root", ".", "the repository")
	flags.StringVar(&r.Out, "out", "dist", "write to this `folder`, whose content is replaced")
	version := flags.String("version", "", "the `version`, like 1.2.3 (default: what Go makes of tag and commit)")
	flags.StringVar(&r.Maintainer, "maintainer", "dormant <dormant@localhost.localdomain>", "`name <address>` of whoever maintains the Debian packages")
	platforms := flags.String("platforms", "", "only `OS/ARCH`, several with commas between them, to try something (default: all)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	var err error
	if r.Version, err = ParseVersion(*version); err == nil {
		r.Platforms, err = ParsePlatforms(*platforms)
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("dist: argument %q: want none", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	r.Log = stderr
	if err := r.Make(ctx); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
