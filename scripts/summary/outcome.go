package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"momentum/internal/imagerun"
	"momentum/internal/rundir"
)

// outcome is what a run folder says.
type outcome struct {
	folder        string
	state         rundir.State
	rule          string
	effectiveRate string
	settings      map[string]string // by their names in config.json
	order         []string          // of the settings

	epochs        int     // of the last row
	loss          float64 // of the last row, as the accuracies, in [0, 1]
	trainAccuracy float64
	evaluated     string  // "test" or "held-out" images
	accuracy      float64 // on them, NaN if they were not evaluated
	zeroError     int     // epoch, −1 for never
}

// read reads a run folder in any state.
func read(folder string) (o outcome, err error) {
	o.folder = folder
	raw, rawDerived, _, err := rundir.ReadConfig(filepath.Join(folder, "config.json"))
	if err != nil {
		return o, err
	}
	if o.settings, o.order, err = texts(raw); err != nil {
		return o, fmt.Errorf("%s: %w", folder, err)
	}
	if o.settings["opt"] == "" {
		return o, fmt.Errorf("%s: it is no run on images", folder)
	}
	var derived struct {
		Rule          string  `json:"rule"`
		EffectiveRate float64 `json:"eta_eff"`
	}
	if err := json.Unmarshal(rawDerived, &derived); err != nil {
		return o, fmt.Errorf("%s: %w", folder, err)
	}
	o.rule, o.effectiveRate = derived.Rule, fmt.Sprintf("%.3g", derived.EffectiveRate)
	if o.state, err = rundir.ReadState(folder); err != nil {
		return o, err
	}
	rows, err := rundir.ReadMetrics(filepath.Join(folder, "metrics.jsonl"))
	if err != nil {
		return o, err
	}
	if len(rows) == 0 {
		return o, fmt.Errorf("%s: it has no metrics yet", folder)
	}
	all := imagerun.Outcome{Folder: folder, Rows: rows}
	o.epochs, o.zeroError = all.Epochs(), all.ZeroError()
	o.loss, o.trainAccuracy = all.Last("loss"), all.Last("train_accuracy")
	o.evaluated, o.accuracy = "test", all.Last("test_accuracy")
	if holdout := o.settings["holdout"]; holdout != "" && holdout != "0" {
		o.evaluated = "held-out"
		// The accuracy on held-out images has a column of its own in newer runs.
		if x := all.Last("held_out_accuracy"); !math.IsNaN(x) {
			o.accuracy = x
		}
	}
	return o, nil
}

// texts are the members of a JSON object as texts, and their names in order.
func texts(object []byte) (values map[string]string, names []string, err error) {
	values = map[string]string{}
	d := json.NewDecoder(bytes.NewReader(object))
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
		text := fmt.Sprint(value)
		if x, ok := value.(float64); ok {
			text = strconv.FormatFloat(x, 'g', -1, 64)
		}
		names, values[name] = append(names, name), text
	}
	return values, names, nil
}

// seed is the seed of the run.
func (o outcome) seed() string { return o.settings["seed"] }

// configuration are all settings but the seed.
func (o outcome) configuration() string { return o.without() }

// without are all settings but the seed and some others, as one text.
func (o outcome) without(names ...string) string {
	var text []string
	for _, name := range o.order {
		if name != "seed" && !slices.Contains(names, name) {
			text = append(text, name+"="+o.settings[name])
		}
	}
	slices.Sort(text)
	return fmt.Sprint(text)
}

// end says when the run reached zero training error or, if it is not done, how far it came.
func (o outcome) end() string {
	switch {
	case o.state == rundir.Diverged:
		return fmt.Sprintf("diverged at %d", o.epochs)
	case o.state != rundir.Done:
		return fmt.Sprintf("%s at %d", o.state, o.epochs)
	case o.zeroError < 0:
		return "never"
	}
	return strconv.Itoa(o.zeroError)
}
