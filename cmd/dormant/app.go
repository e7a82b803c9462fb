package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"

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

// run is the whole program except the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: &screen{w: stderr}, log: slog.New(slog.DiscardHandler)}
	root := newRoot(a)
	help := &watched{w: stdout}
	root.SetOut(help)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && help.err != nil {
		err = outputFault(fmt.Errorf("standard output: %w", help.err))
	}
	if err == nil {
		return exitOK
	}
	code := exitUsage
	if e, ok := errors.AsType[*exitError](err); ok {
		code, err = e.code, e.err
	}
	if code != exitInterrupted && ctx.Err() != nil && errors.Is(err, context.Canceled) { // else it reads as a fault of what was being done
		code, err = exitInterrupted, errors.New("interrupted")
	}
	if err != nil && !readerGone(err) { // head is no fault that anybody wants to read of
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

// readerGone reports whether all that err says is that nobody reads stdout any
// more.
func readerGone(err error) bool {
	switch e := err.(type) { // one by one: a joined error says more, if one of its errors does
	case *fs.PathError:
		return e.Path == os.Stdout.Name() && errors.Is(e.Err, syscall.EPIPE)
	case interface{ Unwrap() error }:
		return readerGone(e.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !readerGone(err) })
	default:
		return false
	}
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
		Version:       version(), // --version is what people type first
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd, os.LookupEnv); err != nil {
				return err
			}
			if err := missingFlags(cmd); err != nil {
				return err
			}
			a.quiet = logging.quiet
			a.log = logging.logger(a.stderr)
			return nil
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.DisableFlagsInUseLine = true
	root.SetHelpCommand(newHelp())
	root.SetVersionTemplate("dormant {{.Version}}\n")
	root.SetFlagErrorFunc(flagFault)
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
	offerWords(root)
	return root
}
