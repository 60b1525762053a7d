package imagerun

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"momentum/internal/cli"
	"momentum/internal/descent"
	"momentum/internal/page"
	"momentum/internal/provenance"
	"momentum/internal/rundir"
	"momentum/internal/stats"
)

// pageFile is the page of a run: its result, curves, settings and origin, in one file. It has no
// times, so it is the same for the same metrics of one version of the program.
const pageFile = "report.html"

// resultLine is the result on some images.
type resultLine struct {
	name           string
	images         int
	loss, accuracy float64
}

// result are the lines of the result at a row of the metrics.
func (r *experiment) result(row rundir.Row) (lines []resultLine) {
	line := func(name string, images int, loss, accuracy string) {
		l := resultLine{name: name, images: images}
		l.loss, _ = row.Get(loss)
		l.accuracy, _ = row.Get(accuracy)
		lines = append(lines, l)
	}
	set := func(name string, d *descent.Data, loss, accuracy string) {
		line(name, d.N, loss, accuracy)
		if d.SmallMargin > 0 {
			line("  with a small margin", d.SmallMargin, loss+smallMargin, accuracy+smallMargin)
			line("  with a large margin", d.N-d.SmallMargin, loss+largeMargin, accuracy+largeMargin)
		}
	}
	set("training images", r.train, lossColumn, accuracyColumn)
	set(r.evalName(), r.eval, r.evalColumn(testLoss), r.evalColumn(testAccuracy))
	return lines
}

// zeroErrorText says when the training error was zero first.
func zeroErrorText(rows []rundir.Row) string {
	if zero := zeroError(rows); zero >= 0 {
		return fmt.Sprintf("zero training error first at epoch %d", zero)
	}
	return "zero training error was not reached"
}

// report prints the last row as a table.
func (r *experiment) report(ctx context.Context, dir *rundir.Dir) error {
	rows, err := dir.Metrics(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s: done but without metrics; -fresh starts over",
			dir.Path("metrics.jsonl"))
	}
	last := rows[len(rows)-1]
	name := r.evalColumn(testLoss)
	if _, ok := last.Get(name); !ok {
		return fmt.Errorf("%s: the last row has no %s: an older version of the program wrote it; "+
			"-fresh starts over", dir.Path("metrics.jsonl"), name)
	}
	fmt.Fprintf(r.stdout, "\n%-24s  %8s  %10s  %9s\n", "", "images", "loss", "accuracy")
	for _, l := range r.result(last) {
		fmt.Fprintf(r.stdout, "%-24s  %8d  %10.4g  %8s%%\n", l.name, l.images, l.loss,
			stats.Fixed(100*l.accuracy, 2))
	}
	fmt.Fprintln(r.stdout, zeroErrorText(rows))
	fmt.Fprintf(r.stdout, "curves    %s\n", dir.Path("curves.png"))
	return nil
}

// notFinite is the quantity of a row of the metrics at which the run diverged, or "".
func notFinite(row rundir.Row) (quantity string, value float64) {
	get := func(name string) float64 { x, _ := row.Get(name); return x }
	return descent.Stats{Score: descent.Score{Loss: get(lossColumn)}, GradNorm: get("grad_norm"),
		UpdateNorm: get("update_norm"), ParamNorm: get("param_norm")}.NotFinite()
}

// writePage writes the page of a run that has ended.
func (r *experiment) writePage(ctx context.Context, dir *rundir.Dir) error {
	rows, err := dir.Metrics(ctx)
	if err != nil {
		return err
	}
	settings, err := r.settingsTable()
	if err != nil {
		return err
	}
	result := page.Section{Title: "Result"}
	last := rows[len(rows)-1]
	epoch, _ := last.Get(epochColumn)
	if quantity, value := notFinite(last); quantity != "" {
		result.Text = fmt.Sprintf("The run diverged at epoch %g: %s is %v.", epoch, quantity, value)
	} else {
		t := page.Table{Head: []string{"", "images", "loss, nats", "accuracy, %"}}
		for _, l := range r.result(last) {
			t.Add(l.name, strconv.Itoa(l.images),
				fmt.Sprintf("%.4g", l.loss), stats.Fixed(100*l.accuracy, 2))
		}
		result.Text = fmt.Sprintf("After %g epochs; %s.", epoch, zeroErrorText(rows))
		result.Tables = []page.Table{t}
	}
	title := r.derived().Title
	return page.Page{Title: title, Command: cli.CommandLine("go run ./cifar", r.settingArgs()...),
		Sections: []page.Section{
			result,
			{Title: "Curves", Pictures: []page.Picture{{Path: dir.Path("curves.svg"),
				Title: title}}},
			{Title: "Settings", Tables: []page.Table{settings}},
			{Title: "Origin", Tables: []page.Table{originTable(dir.Path("manifest.json"))}},
		}}.Write(dir.Path(pageFile))
}

// settingArgs are the flags that give the settings of a configuration, whatever the preset.
func (c *Config) settingArgs() (args []string) {
	all := c.flags()
	for _, name := range settingFlags {
		value := all.Lookup(name).Value.String()
		switch {
		case !HasMomentum(c.Opt) && (name == "form" || name == "momentum"),
			!IsMiniBatch(c.Opt) && name == "batch",
			c.SmallMargin == 0 && slices.Contains(SmallMarginFlags, name), value == "":
			continue // it would be refused, or it is the same for all presets
		}
		args = append(args, "-"+name+"="+value)
	}
	if c.GhostBatch > 0 { // it is the chunk
		args = append(args, fmt.Sprintf("-chunk=%d", c.GhostBatch))
	}
	return args
}

// settingsTable are all settings of a run and what follows from them.
func (r *experiment) settingsTable() (page.Table, error) {
	t := page.Table{Head: []string{"setting", "value"}}
	for _, v := range []any{r.Settings, struct {
		Rule          string      `json:"rule"`
		EffectiveRate json.Number `json:"η_eff"`
		Parameters    int         `json:"parameters"`
	}{r.RuleName(), json.Number(fmt.Sprintf("%.6g", r.derived().EffectiveRate)),
		r.net.NumParams()}} {
		object, err := json.Marshal(v)
		if err != nil {
			return t, err
		}
		values, names, err := rundir.Texts(object)
		if err != nil {
			return t, err
		}
		for _, name := range names {
			t.Add(name, values[name])
		}
	}
	return t, nil
}

// originTable says which program made a run and on which device.
func originTable(manifest string) page.Table {
	var m Manifest
	provenance.Read(manifest, &m)
	t := page.Table{Head: []string{"", ""}}
	for _, p := range m.Properties() {
		t.Add(p[:]...)
	}
	return t
}
