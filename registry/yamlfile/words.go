package yamlfile

import (
	"reflect"
	"strings"
)

// Clip shortens a value for a message.
func Clip(s string) string {
	const most = 60 // bytes
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// keysOf lists the keys of the struct type with that name, in the order of its
// fields.
func keysOf(out any, goType string) (keys []string) {
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for f := range t.Fields() {
			switch name, options, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
			case options == "inline":
				add(f.Type)
			case name != "" && name != "-":
				keys = append(keys, name)
			}
		}
	}
	if t, ok := typesOf(out)[goType]; ok && t.Kind() == reflect.Struct {
		add(t)
	}
	return keys
}

// nearest returns the key that a word was meant to be, the first one of those
// that differ in the fewest letters: in a third of them and two at most. It is ""
// when none is that near.
func nearest(word string, keys []string) (meant string) {
	least := min(2, (len(word)+2)/3) + 1
	for _, key := range keys {
		if len(word) > len(key)+2 { // a stranger's key may be a book
			continue
		}
		if d := distance(word, key); d < least {
			least, meant = d, key
		}
	}
	return meant
}

// distance is how many letters must be put in, left out or replaced to make b of
// a, known as Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the letters of a so far against those of b
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for k := range len(b) {
			swap := before
			if a[i] != b[k] {
				swap++
			}
			before = row[k+1]
			row[k+1] = min(swap, before+1, row[k]+1)
		}
	}
	return row[len(b)]
}

// wordsFor says what a Go type wants. A uint16 is a port in all our files.
func wordsFor(out any, goType string) string {
	t, ok := typesOf(out)[goType]
	if !ok {
		return "another kind of value"
	}
	switch t.Kind() {
	case reflect.Uint16:
		return "a port number from 1 to 65535"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "keys with values"
	}
}

// typesOf are all types that a value of out can hold, by the name that the
// decoder's messages give them.
func typesOf(out any) map[string]reflect.Type {
	types := map[string]reflect.Type{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if types[t.String()] != nil {
			return
		}
		types[t.String()] = t
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(t.Elem())
		case reflect.Map:
			walk(t.Key())
			walk(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				if f.Tag.Get("yaml") != "" {
					walk(f.Type)
				}
			}
		default: // a plain value holds nothing else
		}
	}
	walk(reflect.TypeOf(out))
	return types
}
