package imagerun

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/runtest"
)

// The page of a run has its result, curves, settings and origin, and no time. Its command gives the
// same run.
func TestPage(t *testing.T) {
	root := t.TempDir()
	if status, stdout, stderr := cifar(t, t.Context(), testArgs(root)...); status != 0 {
		t.Fatal(status, stdout, stderr)
	}
	found, _ := filepath.Glob(filepath.Join(root, "*", pageFile))
	if len(found) != 1 {
		t.Fatalf("pages %q", found)
	}
	page := runtest.Page(t, found[0])
	for _, want := range []string{"<h1>CIFAR-10 sample, 13 images, ", "After 4 epochs; zero",
		`<td>training images</td><td class="number">13</td><td class="number">`,
		`<figure role="img"`, "<svg ", "<tr><td>lr</td><td>0.1</td></tr>",
		"<tr><td>η<sub>eff</sub></td><td>", "<tr><td>revision</td>", "<tr><td>backend</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	shown := regexp.MustCompile(`(?s)<pre tabindex="0">go run ./cifar (.*?)</pre>`)
	command := shown.FindStringSubmatch(page)
	if command == nil {
		t.Fatal("the page has no command")
	}
	args := strings.Fields(strings.ReplaceAll(command[1], "\\\n", ""))
	checkName(t, args, filepath.Base(filepath.Dir(found[0])))
}

// The row of an epoch in which the run diverged, after 2 of 3 batches of 5 of its 13 images, has
// the means over the 10 images so far; the row of a whole epoch those over all.
func TestScoresOfAnUnfinishedEpoch(t *testing.T) {
	var c Config
	c.Batch = 5
	l := &runLog{training: &training{experiment: &experiment{Config: c, stepsPerEpoch: 3,
		train: &descent.Data{N: 13, SmallMargin: 2}}}}
	score := descent.Score{Loss: 26, Correct: 5, SmallMarginLoss: 13, SmallMarginCorrect: 1}
	for step, want := range map[int]string{
		5: "[{epoch 1} {loss 2.6} {train_accuracy 0.5}]",
		6: fmt.Sprintf("[{epoch 1} {loss 2} {train_accuracy %v} {loss_small_margin 6.5} "+
			"{loss_large_margin %v} {train_accuracy_small_margin 0.5} "+
			"{train_accuracy_large_margin %v}]", 5.0/13, 13.0/11, 4.0/11),
	} {
		got := fmt.Sprint(l.scores(position{step: step, train: score}, 1, false))
		if got != want {
			t.Errorf("before step %d: %s, want %s", step, got, want)
		}
	}
}

// The flags of a configuration give the same settings as the configuration, by any preset.
func TestSettingArgs(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) {},
		func(c *Config) { c.Opt, c.Form, c.Momentum = "gd", "", 0 },
		func(c *Config) { c.Opt, c.Batch = "sgdm", 8 },
		func(c *Config) {
			c.SmallMargin, c.SmallMarginFactor, c.SmallMarginNoise, c.SmallMarginShuffle = 0.25, 4,
				0.01, "fixed"
		},
		func(c *Config) { c.Norm, c.Chunk = "batch", 16 },
	} {
		c := Preset("tiny", "gdm")
		change(&c)
		c.Normalize()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		want, err := c.Name()
		if err != nil {
			t.Fatal(err)
		}
		checkName(t, c.settingArgs(), want)
	}
}

// checkName checks which run folder the settings have that a command line gives.
func checkName(t *testing.T, args []string, want string) {
	t.Helper()
	for _, preset := range []string{"paper", "tiny"} {
		cmd, err := ParseCommand(append([]string{"-preset=" + preset}, args...))
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		c, _, err := cmd.Config(backend.Go)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := c.Name(); name != want || err != nil {
			t.Errorf("%q: %s, %v; want %s", args, name, err, want)
		}
	}
}
