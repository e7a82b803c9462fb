package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// app is what every command is given: its streams and its log. It holds no
// state of a run.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer // stderr is a *screen where a progress line may be drawn
	// log writes to stderr at the level and in the format that the flags ask
	// for. It is set before a command runs, never nil.
	log *slog.Logger
	// quiet is set when only errors and files are wanted.
	quiet bool
}

// The exit codes, as promised to scripts.
const (
	exitOK          = 0
	exitFindings    = 1
	exitUsage       = 2
	exitIncomplete  = 3
	exitPrivilege   = 4
	exitOutput      = 5
	exitInterrupted = 130
)

// exitError carries an exit code with its one clear line. A nil err prints
// nothing: the command has said everything already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a fault in what the user gave: exit 2.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run is the whole program except the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: &screen{w: stderr}, log: slog.New(slog.DiscardHandler)}
	root := newRoot(a)
	help := &watched{w: stdout}
	root.SetOut(help)
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return plainly(err) })
	err := root.ExecuteContext(ctx)
	if err == nil && help.err != nil {
		err = outputFault(fmt.Errorf("standard output: %w", help.err))
	}
	if err == nil {
		return exitOK
	}
	code := exitUsage // cobra's own errors: unknown flags, commands, argument counts
	if e, ok := errors.AsType[*exitError](err); ok {
		code, err = e.code, e.err
	}
	if err != nil {
		fmt.Fprintln(stderr, "dormant:", err)
	}
	return code
}

// watched remembers the first fault of a writer, and throws away what comes
// after it: cobra drops the faults of its help.
type watched struct {
	w   io.Writer
	err error
}

func (w *watched) Write(p []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(p)
	}
	return len(p), nil
}

// newRoot is the command tree. Commands are values in one literal list.
func newRoot(a *app) *cobra.Command {
	var logging logOptions
	root := &cobra.Command{
		Use:   "dormant",
		Short: "find what really answers on ports that nobody should be calling",
		Long: `dormant sweeps networks for ports that are registered but dormant (3588, 3712,
3047 and their living relatives 1947, 5093, 475), speaks with what answers, and
tells license managers, dev servers, other services and possible backdoors
apart, with evidence.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd, os.LookupEnv); err != nil {
				return err
			}
			a.quiet = logging.quiet
			a.log = logging.logger(a.stderr)
			return nil
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp())
	root.DisableSuggestions = true // they take several lines
	root.SetIn(a.stdin)
	root.SetErr(a.stderr)
	logging.addFlags(root.PersistentFlags())
	root.PersistentFlags().String("config", "", "YAML `FILE` of flag names and values (default dormant/config.yaml in the user's configuration folder, if there)")
	root.AddCommand(
		newScan(a),
		newMerge(a),
		newIdentify(a),
		newRuns(a),
		newReport(a),
		newExplain(a),
		newReclassify(a),
		newPolicy(a),
		newFirewall(a),
		newSchedule(a),
		newServer(a),
		newAgent(a),
		newPorts(a),
		newListen(a),
		newListeners(a),
		newRules(a),
		newLab(a),
		newDoctor(a),
		newVersion(a),
		newCompletion(a),
		newMan(a),
	)
	sayWanted(root)
	return root
}

// newHelp is what people type who do not know of --help.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND…]", Short: "show the help of a command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError("help: no command %q: dormant --help lists them", args)
			}
			asked.InitDefaultHelpFlag()
			return asked.Help()
		},
	}
}

// sayWanted lets c and all commands below say how they are called when their
// arguments are not those that they take.
func sayWanted(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			switch {
			case err != nil && len(args) == 0:
				return usageError("an argument is missing: want %s", c.UseLine())
			case err != nil:
				return usageError("%w: want %s", err, c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		sayWanted(sub)
	}
}
