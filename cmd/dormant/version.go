package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newVersion prints what was built, from the build info that Go embeds.
func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version, the commit and the Go release",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, "dormant", version())
			return err
		},
	}
}

// version is the module version, or the commit of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	setting := func(key string) string {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
		return ""
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		if rev := setting("vcs.revision"); len(rev) >= 12 {
			v += " " + rev[:12]
		}
		if setting("vcs.modified") == "true" {
			v += " (modified)"
		}
	}
	return v + " " + info.GoVersion + " " + setting("GOOS") + "/" + setting("GOARCH")
}
