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
func keysOf(out any, goType string) string {
	var keys []string
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
	return strings.Join(keys, ", ")
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
