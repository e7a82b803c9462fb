package enroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

// Announce keeps where agents find the server, "host:port", for tokens that are
// made without saying it. A server calls it when it knows its addresses.
func (a *Authority) Announce(servers []string) error {
	return announce(filepath.Join(a.dir, addressesFile), servers, checkServers)
}

// Announced are the addresses that a server gave to Announce, none if none did.
func (a *Authority) Announced() ([]string, error) {
	return announced(filepath.Join(a.dir, addressesFile), checkServers)
}

// AnnouncePlaces keeps the places of the jobs file, so that whoever makes a token
// for another one can be told. A server calls it when it begins.
func (a *Authority) AnnouncePlaces(places []fleet.Place) error {
	return announce(filepath.Join(a.dir, placesFile), places, checkPlaces)
}

// AnnouncedPlaces are what a server gave to AnnouncePlaces the last time, none if
// none did.
func (a *Authority) AnnouncedPlaces() ([]fleet.Place, error) {
	return announced(filepath.Join(a.dir, placesFile), checkPlaces)
}

func checkPlaces(all []fleet.Place) error {
	for _, p := range all {
		if err := p.Check(); err != nil {
			return err
		}
	}
	return nil
}

// announce keeps what a server says of itself, for commands beside it.
func announce[T any](path string, all []T, check func([]T) error) error {
	err := check(all)
	var text []byte
	if err == nil {
		text, err = json.Marshal(all)
	}
	if err == nil {
		err = disk.Replace(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("enroll: announce: %w", err)
	}
	return nil
}

// announced reads what announce wrote, nil if nobody did.
func announced[T any](path string, check func([]T) error) ([]T, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []T
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err == nil {
		err = check(all)
	}
	if err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", path, err)
	}
	return all, nil
}
