package reports

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dormant/registry/durable"
)

// atomicFile is written beside its final name and takes it only when complete.
// Whoever reads the final name sees the old file or the whole new one.
type atomicFile struct {
	f     *os.File
	final string // after symbolic links
	// direct is true for devices and pipes, which cannot be replaced: they are
	// written as they are.
	direct bool
}

// createAtomic makes the temporary file in path's own folder, because a rename
// is atomic only within a file system.
func createAtomic(path string) (*atomicFile, error) {
	final, mode, err := resolve(path)
	if err != nil {
		return nil, err
	}
	if mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeCharDevice) != 0 {
		f, err := openDirect(final)
		if err != nil {
			return nil, outputError(path, err)
		}
		return &atomicFile{f: f, final: final, direct: true}, nil
	}
	removeStale(final)
	temp := filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+"."+rand.Text()[:tempRandom]+tempEnd)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less the umask
	if err != nil {
		return nil, outputError(path, err)
	}
	claim(f)
	a := &atomicFile{f: f, final: final}
	if mode.IsRegular() && mode != 0 { // keep what the user made of the old file
		if err := f.Chmod(mode.Perm()); err != nil {
			return nil, errors.Join(outputError(path, err), a.Abort())
		}
	}
	return a, nil
}

// resolve follows symbolic links and returns the mode of what stands under the
// name, 0 for nothing.
func resolve(path string) (final string, mode fs.FileMode, err error) {
	if path == "" {
		return "", 0, errors.New("reports: output: the file name is empty")
	}
	if planted(path) {
		return "", 0, fmt.Errorf("reports: output %s: is another user's link, in a folder that everybody may write to: want a file", path)
	}
	final, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if dir := filepath.Dir(path); !isDir(dir) {
			return "", 0, fmt.Errorf("reports: output %s: the folder %s does not exist", path, dir)
		}
		return path, 0, nil
	}
	if err != nil {
		return "", 0, outputError(path, err)
	}
	st, err := os.Stat(final)
	if err != nil {
		return "", 0, outputError(path, err)
	}
	if st.IsDir() {
		return "", 0, fmt.Errorf("reports: output %s: is a folder, want a file name", path)
	}
	return final, st.Mode(), nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// outputError names the file that the user gave instead of the temporary one.
func outputError(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("reports: output %s: %w", path, err)
}

// Write writes to the temporary file.
func (a *atomicFile) Write(p []byte) (int, error) {
	n, err := a.f.Write(p)
	if err != nil {
		err = outputError(a.final, err)
	}
	return n, err
}

// Commit brings the file to the disk and gives it its name. On an error the
// temporary file is removed and the old file stands.
func (a *atomicFile) Commit() error {
	if a.direct {
		return a.f.Close()
	}
	err := a.f.Sync()
	if e := a.f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = durable.Rename(a.f.Name(), a.final)
	}
	if err != nil {
		_ = os.Remove(a.f.Name()) // the first error says more
		return outputError(a.final, err)
	}
	return nil
}

// Abort removes the temporary file; nothing else has changed.
func (a *atomicFile) Abort() error {
	err := a.f.Close()
	if a.direct {
		return err
	}
	return os.Remove(a.f.Name())
}

// Check finds out whether path could be written, as the user that runs this,
// and leaves nothing behind. It does not look at the extension; see OpenFile.
func Check(path string) error {
	a, err := createAtomic(path)
	if err != nil {
		return err
	}
	if a.direct {
		return a.Abort()
	}
	if _, err := a.Write(bytes.Repeat([]byte{' '}, 4096)); err != nil { // one block: is the disk full?
		return errors.Join(err, a.Abort())
	}
	return a.Abort()
}
