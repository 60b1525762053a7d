package rundir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

const configFile = "config.json"

type config struct {
	Settings  any `json:"settings"`
	Derived   any `json:"derived,omitempty"`
	Execution any `json:"execution,omitempty"`
}

// ReadConfig reads the file config.json of a run folder. derived and execution are nil if the file
// does not have them. Errors name the file and the line.
func ReadConfig(path string) (settings, derived, execution json.RawMessage, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		settings, derived, execution, err = parseConfig(path, b)
	}
	if err != nil {
		return nil, nil, nil, readError(path, err)
	}
	return settings, derived, execution, nil
}

func parseConfig(path string, b []byte) (settings, derived, execution json.RawMessage, err error) {
	var c struct{ Settings, Derived, Execution json.RawMessage }
	if err := json.Unmarshal(b, &c); err != nil {
		offset := int64(0)
		if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
			offset = e.Offset
		} else if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) {
			offset = e.Offset
			err = fmt.Errorf("%s, want an object with settings", e.Value)
		}
		line := 1 + bytes.Count(b[:min(offset, int64(len(b)))], []byte("\n"))
		return nil, nil, nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	if !bytes.HasPrefix(c.Settings, []byte("{")) {
		return nil, nil, nil, fmt.Errorf("%s: settings are %.40q, want a JSON object", path,
			c.Settings)
	}
	return c.Settings, c.Derived, c.Execution, nil
}

// canonical returns settings as JSON with sorted keys: the same bytes for two structs that differ
// only in the order of their fields.
func canonical(settings any) ([]byte, error) {
	m, err := object(settings)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// object converts settings to a map by way of JSON. Numbers keep their digits.
func object(settings any) (map[string]any, error) {
	b, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	if b[0] != '{' {
		return nil, fmt.Errorf("%.40q, want a JSON object", b)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	err = d.Decode(&m)
	return m, err
}

// checkSettings compares the settings in the content of a config.json with the wanted ones. Its
// error names the first that differs.
func checkSettings(path string, content []byte, want any) error {
	stored, _, _, err := parseConfig(path, content)
	if err != nil {
		return err
	}
	gotMap, err := object(stored)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	wantMap, err := object(want)
	if err != nil {
		return err
	}
	if d := difference("", gotMap, wantMap); d != "" {
		return fmt.Errorf("%s: written with other settings: %s", path, d)
	}
	return nil
}

// difference describes the first setting, by name, in which got and want differ: "" if they are
// equal. prefix is the path to a nested setting, such as "schedule.".
func difference(prefix string, got, want map[string]any) string {
	all := maps.Clone(got)
	maps.Copy(all, want)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		g, inGot := got[name]
		w, inWant := want[name]
		gMap, gotMap := g.(map[string]any)
		wMap, wantMap := w.(map[string]any)
		switch {
		case !inGot:
			return fmt.Sprintf("%s%s is missing, want %s", prefix, name, text(w))
		case !inWant:
			return fmt.Sprintf("%s%s is %s, want no such setting", prefix, name, text(g))
		case gotMap && wantMap:
			if d := difference(prefix+name+".", gMap, wMap); d != "" {
				return d
			}
		case text(g) != text(w):
			return fmt.Sprintf("%s%s is %s, want %s", prefix, name, text(g), text(w))
		}
	}
	return ""
}

// text encodes a value that was decoded from JSON as JSON again, which cannot fail.
func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// Difference describes the first value, by name, in which two JSON objects differ, as "NAME is GOT,
// want WANT": "" if they are equal.
func Difference(got, want json.RawMessage) string {
	a, err := object(got)
	if err != nil {
		return err.Error()
	}
	b, err := object(want)
	if err != nil {
		return err.Error()
	}
	return difference("", a, b)
}

// Texts are the members of a JSON object, such as the settings of [ReadConfig], as texts, and their
// names in order.
func Texts(object json.RawMessage) (values map[string]string, names []string, err error) {
	values = map[string]string{}
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber() // a seed may be larger than what a float64 counts
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.Join(errors.New("config.json: want an object of settings"), err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := t.(string) // the decoder accepts no other
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
		names, values[name] = append(names, name), fmt.Sprint(value)
	}
	return values, names, nil
}
