package imagerun

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// decode reads one JSON object over v, and refuses fields that v does not have. name is the
// object's own, such as settings, or empty.
func decode(place, name string, data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", place, explained(name, err))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("%s: more follows the JSON object; want one object", place)
	}
	return nil
}

// explained is an error of encoding/json in the words of a user.
func explained(name string, err error) error {
	member := func(field string) string { return strings.Trim(name+"."+field, ".") }
	if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) {
		what := member(e.Field)
		if what == "" {
			what = "the file"
		}
		return fmt.Errorf("%s is of type %s, want %s", what, e.Value, wanted(e.Type))
	}
	if field, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return fmt.Errorf("%s is not known: leave it out", member(strings.Trim(field, `"`)))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the file ends in the middle of the JSON object")
	}
	return err
}

// wanted names the JSON values that a type takes.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct:
		return "an object {…}"
	}
	return "a text in quotes"
}
