package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan prints the manual page of a command, or writes all of them.
func newMan(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND…]",
		Short: "print a manual page, or write all of them into a folder",
		Example: `  dormant man scan | man -l -
  dormant man --dir /usr/local/share/man/man1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Title: "DORMANT", Section: "1", Source: "dormant", Manual: "dormant"}
			if at := commitTime(); !at.IsZero() { // else the page has today's date
				header.Date = &at
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same source gives the same page
			if dir != "" && len(args) > 0 {
				return usageError("man: --dir writes the pages of all commands: leave out %q", args)
			}
			if dir != "" {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return outputFault(err)
				}
				return outputFault(doc.GenManTree(root, header, dir))
			}
			page, err := findCommand(root, args)
			if err != nil {
				return err
			}
			return outputFault(doc.GenMan(page, header, a.stdout))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this `FOLDER`")
	return cmd
}
