package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	sessionIdle = 12 * time.Hour     // without a request
	sessionLife = 7 * 24 * time.Hour // at the longest
	maxSessions = 1000               // some 100 bytes each; the longest idle one goes
)

// sessions are those who came in with the token. Only a digest of what stands
// in the cookie is kept.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

type session struct{ began, used time.Time }

func newSessions() *sessions { return &sessions{open: map[[sha256.Size]byte]session{}} }

// begin returns the cookie's value of a new session.
func (s *sessions) begin(now time.Time) string {
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // it never fails since Go 1.24
	id := base64.RawURLEncoding.EncodeToString(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxSessions {
		s.drop(now)
	}
	s.open[sha256.Sum256([]byte(id))] = session{began: now, used: now}
	return id
}

// drop removes what is over, or else the one that was idle longest.
func (s *sessions) drop(now time.Time) {
	var idle [sha256.Size]byte
	oldest := now
	for key, one := range s.open {
		if one.over(now) {
			delete(s.open, key)
		} else if !one.used.After(oldest) {
			idle, oldest = key, one.used
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, idle)
	}
}

func (s session) over(now time.Time) bool {
	return now.Sub(s.used) > sessionIdle || now.Sub(s.began) > sessionLife
}

// use reports whether the cookie's value is that of a session, and keeps it
// from ending.
func (s *sessions) use(id string, now time.Time) bool {
	key := sha256.Sum256([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.open[key]
	switch {
	case !ok:
		return false
	case one.over(now):
		delete(s.open, key)
		return false
	}
	one.used = now
	s.open[key] = one
	return true
}

// end forgets the session.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(id)))
}

// seal derives the secret of a person's forms from what only their browser and
// this process know.
type seal [sha256.Size]byte

func newSeal() seal {
	var s seal
	rand.Read(s[:]) //nolint:errcheck // it never fails since Go 1.24
	return s
}

func (s seal) of(who string) string {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(who))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// is compares in constant time.
func (s seal) is(who, given string) bool { return hmac.Equal([]byte(s.of(who)), []byte(given)) }

// same compares two secrets in a time that tells neither content nor length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}
