package history

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// cutURL cuts a URL at its last @, so that whatever a password holds, all of it
// is in front.
func cutURL(db string) (scheme, user, rest string) {
	scheme, rest, _ = strings.Cut(db, "://")
	at := strings.LastIndexByte(rest, '@')
	if q := strings.IndexByte(rest, '?'); q >= 0 && q < at && strings.Contains(rest[:q], "@") { // this one is in a setting
		at = strings.LastIndexByte(rest[:q], '@')
	}
	return strings.ToLower(scheme), rest[:max(at, 0)], rest[at+1:]
}

// bare reports whether a user or password has a character that ends it for one
// reader of URLs and not for another: a part of it would be looked up as a host.
func bare(db string) bool {
	_, user, _ := cutURL(db)
	return strings.ContainsAny(user, "@/?#")
}

// publicName is the URL of a database as it may be shown: user, hosts, database
// and what finds them, never a password, whatever is wrong with the URL.
func publicName(db string) string {
	scheme, user, rest := cutURL(db)
	name := scheme + "://"
	if user, _, _ = strings.Cut(user, ":"); user != "" {
		name += user + "@"
	}
	rest, query, _ := strings.Cut(rest, "?")
	name += rest
	values, err := url.ParseQuery(query)
	if err != nil {
		return name
	}
	shown := url.Values{}
	for _, key := range []string{"host", "port", "user", "dbname", "database", "search_path", "sslmode", "service"} {
		if v := values.Get(key); v != "" {
			shown.Set(key, v)
		}
	}
	if len(shown) > 0 {
		name += "?" + strings.ReplaceAll(shown.Encode(), "%2F", "/")
	}
	return name
}

// HasPassword reports whether db is a URL that holds a password. What others can
// read, such as a unit or a list of processes, is no place for it.
func HasPassword(db string) bool {
	if !IsURL(db) {
		return false
	}
	_, user, rest := cutURL(db)
	_, query, _ := strings.Cut(rest, "?")
	values, _ := url.ParseQuery(query) // what it could read counts
	return strings.Contains(user, ":") || values.Has("password") || values.Has("sslpassword")
}

const urlWanted = "want postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters of a password as %XX"

// errURL says what is wrong with a URL, without anything that was read from it.
func errURL(err error) error {
	why := err.Error()
	if _, after, ok := strings.Cut(why, "`: "); ok { // before it stands the URL
		why = after
	}
	why = regexp.MustCompile(`"[^"]*"?|`+"`[^`]*`?"+`|'[^']*'?`).ReplaceAllString(why, "…")
	return errors.New("history: the URL of the database cannot be read: " + strings.Join(strings.Fields(why), " ") + ": " + urlWanted)
}
