package web

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TokenFile returns the token in the file, and makes a random one of 256 bits
// if there is no file: made tells. The file is for its owner alone; one that
// others can read is refused, for they would have the token too.
func TokenFile(path string) (token string, made bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeToken(path)
	case err != nil:
		return "", false, fmt.Errorf("web: token: %w", err)
	case !info.Mode().IsRegular():
		return "", false, fmt.Errorf("web: token: %s is no file", path)
	case openToOthers(info):
		return "", false, fmt.Errorf("web: token: %s can be read by others (mode %v): chmod 600 it, or remove it for a new one", path, info.Mode().Perm())
	case info.Size() > 1024:
		return "", false, fmt.Errorf("web: token: %s has %d bytes, want one line", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false, fmt.Errorf("web: token: %w", err)
	}
	token = strings.TrimSpace(string(text))
	if len(token) < MinToken {
		return "", false, fmt.Errorf("web: token: %s holds %d bytes, want at least %d: remove it for a new one", path, len(token), MinToken)
	}
	return token, false, nil
}

// makeToken writes a new token. Of two processes at once one makes it, and the
// other reads what the first one made.
func makeToken(path string) (string, bool, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", false, fmt.Errorf("web: token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	temp, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return "", false, fmt.Errorf("web: token: %w", err)
	}
	_, err = temp.WriteString(token + "\n")
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), path) // fails where the name is taken
	}
	err = errors.Join(err, os.Remove(temp.Name()))
	switch {
	case errors.Is(err, fs.ErrExist):
		return TokenFile(path)
	case err != nil:
		return "", false, fmt.Errorf("web: token: %w", err)
	}
	return token, true, nil
}
