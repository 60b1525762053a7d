package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"momentum/internal/durable"
)

// rememberedFile is the file in a study's folder with the flags that it was given, so that -out
// alone names the study.
const rememberedFile = "study.json"

// remembered is its content.
type remembered struct {
	Command string            `json:"command"` // such as figure1
	Flags   map[string]string `json:"flags"`   // that were given, by name
	// Selection are the values of the flags by which settings are chosen, given or not.
	Selection map[string]string `json:"selection"`
}

// choiceFlags say which trials a study has and how they choose.
var choiceFlags = []string{"rates", "protocol", "trial-seeds", "schedules", "weight-decays",
	"holdout", "choose"}

// remind adds to the given flags those that the study in a folder remembers. Flags that say where
// runs are executed are left out if the launcher is given anew.
func (f *Figure) remind(folder string, given map[string]string, places []string) error {
	old, err := recall(folder)
	if err != nil {
		return err
	}
	if old.Command != "" && old.Command != f.Name {
		return fmt.Errorf("%s: the study is of %s, not of %s: name another folder with -out",
			filepath.Join(folder, rememberedFile), old.Command, f.Name)
	}
	_, elsewhere := given["launcher"]
	for name, value := range old.Flags { // of the given ones none is changed
		if _, ok := given[name]; !ok && !(elsewhere && slices.Contains(places, name)) {
			given[name] = value
		}
	}
	return nil
}

// remindOfTrials adds to the given flags those by which the study in a folder chose its settings,
// for a study that takes its trials. One of its protocols may be given, nothing else.
func remindOfTrials(folder string, given map[string]string) error {
	other, err := recall(folder)
	if err != nil {
		return fmt.Errorf("-trials-of: %w", err)
	}
	if other.Command != "" && len(other.Selection) == 0 {
		return fmt.Errorf("-trials-of: %s: no selection, as an earlier version has left it: "+
			"execute that study once more, nothing is trained again",
			filepath.Join(folder, rememberedFile))
	}
	for _, name := range choiceFlags {
		its, known := other.Selection[name]
		own, isGiven := given[name]
		switch {
		case known && !isGiven:
			given[name] = its
		case known && own != its && name != "protocol":
			return fmt.Errorf("-%s: got %s, but the trials of %s have %s: leave it out", name, own,
				folder, its)
		}
	}
	return nil
}

// recall reads what the study in a folder remembers: nothing, if there is none.
func recall(folder string) (old remembered, err error) {
	path := filepath.Join(folder, rememberedFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return old, nil
	} else if err != nil {
		return old, durable.WithRemedy(err, "move it away, and give the flags of the study")
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return old, fmt.Errorf("%s: %w: delete it, and give the flags of the study", path, err)
	}
	return old, nil
}

// remember writes the flags of the study into its folder.
func (i *invocation) remember() error {
	return durable.WriteFile(filepath.Join(i.out, rememberedFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(remembered{i.Figure.Name, i.given, i.selection})
	})
}
