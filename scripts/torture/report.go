//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"momentum/internal/backend"
	"momentum/internal/markdown"
)

// report is the campaign as Markdown.
func (c *campaign) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Torture: kills, damages and nonsense\n\n"+
		"    %s\n\n%s, seed %d, %s, %v.\n", c.command, c.began.UTC().Format(time.DateOnly), c.seed,
		backend.Processor(), time.Since(c.began).Round(time.Second))
	if len(c.killed) > 0 {
		c.reportKills(&b)
	}
	if len(c.damaged) > 0 {
		c.reportDamages(&b)
	}
	if len(c.fuzzed) > 0 {
		var rows [][]string
		sum := 0
		for _, f := range c.fuzzed {
			n, _ := strconv.Atoi(f.inputs)
			sum += n
			outcome := "passes"
			if f.failed {
				outcome = "**fails**"
			}
			rows = append(rows, []string{f.name, f.inputs, outcome})
		}
		fmt.Fprintf(&b, "\n## Nonsense\n\n%v of fuzzing for each parser: %d executions.\n\n%s",
			c.fuzz, sum, markdown.Table([]string{"parser", "executions", "outcome"}, rows))
	}
	b.WriteString("\n## What went wrong\n\n")
	if len(c.wrong) == 0 {
		b.WriteString("Nothing.\n")
	}
	for _, text := range c.wrong {
		fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	}
	return b.String()
}

// reportKills writes the table of the kills: a row for each victim, a column for each moment.
func (c *campaign) reportKills(b *strings.Builder) {
	titles, rows, sum := []string{"killed in"}, [][]string(nil), 0
	for _, m := range moments() {
		titles = append(titles, m.name)
	}
	for _, v := range slices.Sorted(maps.Keys(c.killed)) {
		row := []string{v}
		for _, m := range moments() {
			n := c.killed[v][m.name]
			sum += n
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(b, "\n## Kills\n\n%d kills with SIGKILL; %d killed runs were started again until "+
		"they were done, and ended with\nthe bytes of an undisturbed one. In a study a kill hits "+
		"the parent, a worker or all.\n\n%s", sum, c.runs, markdown.Table(titles, rows))
}

// reportDamages writes the table of the damages.
func (c *campaign) reportDamages(b *strings.Builder) {
	outcomes, rows, sum := []string{recovered, refused, wrong}, [][]string(nil), 0
	for _, name := range slices.Sorted(maps.Keys(c.damaged)) {
		row := []string{name}
		for _, o := range outcomes {
			n := c.damaged[name][o]
			sum += n
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(b, "\n## Damages\n\n%d folders with one damaged file. Recovered: the command ends "+
		"with the bytes of an undisturbed run.\nRefused: it names a file of the folder in one "+
		"line. Wrong: anything else.\n\n%s", sum, markdown.Table(append([]string{"damage"},
		outcomes...), rows))
}
