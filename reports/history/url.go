package history

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// publicName is the URL of a database as it may be shown: user, hosts, database
// and what finds them, never a password, whatever is wrong with the URL.
func publicName(db string) string {
	scheme, rest, _ := strings.Cut(db, "://")
	rest, query, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(rest, '@')
	if i := strings.LastIndexByte(query, '@'); at < 0 && i >= 0 { // a password with a bare question mark
		rest, query, _ = strings.Cut(rest+"?"+query, "?")
		at = len(rest) - 1
	}
	user, _, _ := strings.Cut(rest[:max(at, 0)], ":")
	name := strings.ToLower(scheme) + "://"
	if user != "" {
		name += user + "@"
	}
	name += rest[at+1:]
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

// errURL says what is wrong with a URL, without anything that was read from it.
func errURL(err error) error {
	why := err.Error()
	if _, after, ok := strings.Cut(why, "`: "); ok { // before it stands the URL
		why = after
	}
	why = regexp.MustCompile(`"[^"]*"?|`+"`[^`]*`?"+`|'[^']*'?`).ReplaceAllString(why, "…")
	return errors.New("history: the URL of the database cannot be read: " + strings.Join(strings.Fields(why), " ") +
		": want postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters of a password as %XX")
}
