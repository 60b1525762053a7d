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

// settingsFile is a config.json, or a line of a list of runs, as JSON that was not read yet.
type settingsFile struct {
	place               string
	settings, execution json.RawMessage
}

// parseSettingsFile reads a config.json. Unknown fields are refused; "derived" is not read.
func parseSettingsFile(path string, data []byte) (settingsFile, error) {
	var file struct {
		Settings, Derived, Execution json.RawMessage
	}
	f := settingsFile{place: "-config: " + path}
	if err := decode(f.place, "", data, &file); err != nil {
		return f, fmt.Errorf("%w; want {\"settings\": {…}, \"execution\": {…}} as in a run "+
			"folder's config.json", err)
	}
	f.settings, f.execution = file.Settings, file.Execution
	return f, f.decode(new(Config))
}

// decode reads the settings and the execution over c. The settings that a run wrote leave out some
// that are 0: they are not the preset's.
func (f settingsFile) decode(c *Config) error {
	if whole(f.settings) {
		c.Settings = Settings{}
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
		into any
	}{{"settings", f.settings, &c.Settings}, {"execution", f.execution, &c.Execution}} {
		if len(part.text) == 0 {
			continue
		}
		if err := decode(f.place, part.name, part.text, part.into); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether settings have all that is written whatever its value.
func whole(settings json.RawMessage) bool {
	var given, always map[string]json.RawMessage
	zero, err := json.Marshal(Settings{})
	if err != nil || json.Unmarshal(zero, &always) != nil ||
		json.Unmarshal(settings, &given) != nil {
		return false
	}
	for name := range always {
		if _, ok := given[name]; !ok {
			return false
		}
	}
	return true
}

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
