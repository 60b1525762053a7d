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
		c.damaged.report(&b, damages, "damage")
	}
	if len(c.crowded) > 0 {
		c.reportCrowds(&b)
	}
	if len(c.served) > 0 {
		c.served.report(&b, servers, "trouble")
	}
	if len(c.unpacked) > 0 {
		c.unpacked.report(&b, tarballs, "tarball")
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

// outcomes are the columns of damages, servers and tarballs.
func outcomes() []string { return []string{recovered, refused, wrong} }

// rows are the rows of a table with some columns, and the sum of all cells.
func (t tally) rows(columns []string) (rows [][]string, sum int) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		row := []string{name}
		for _, column := range columns {
			n := t[name][column]
			sum += n
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	return rows, sum
}

// reportKills writes the table of the kills: a row for each victim, a column for each moment.
func (c *campaign) reportKills(b *strings.Builder) {
	var titles []string
	for _, m := range moments() {
		titles = append(titles, m.name)
	}
	rows, sum := c.killed.rows(titles)
	fmt.Fprintf(b, "\n## Kills\n\n%d kills with SIGKILL; %d killed runs were started again until "+
		"they were done, and ended with\nthe bytes of an undisturbed one. In a study a kill hits "+
		"the parent, a worker or all.\n\n%s", sum, c.runs, markdown.Table(append([]string{
		"killed in"}, titles...), rows))
}

// The texts above the tables of outcomes and of the crowds.
const (
	damages = `
## Damages

%d folders with one damaged file. Recovered: the command ends with the bytes of an undisturbed run.
Refused: it names a file of the folder in one line. Wrong: anything else.

`
	crowds = `
## Crowds

%d processes in crowds of 2 to 5 in one folder, at once or soon after each other. Done: with the
result. Locked: one line says which other process is at work. After %d crowds one more process ended
with the bytes of an undisturbed run, and nothing was left behind. Wrong: anything else.

`
	servers = `
## Servers

%d downloads of a small tarball in the form of CIFAR's. Recovered: its files are there, and nothing
else. Refused: one line names the address, nothing but a part is left, and the next download, from a
good server, ends well. Wrong: anything else, and one of both where the other is due.

`
	tarballs = `
## Tarballs

%d hostile tarballs, each given with its own checksum but for one kind. Recovered: the right files
are there, and nothing else anywhere. Refused: one line names the tarball, nothing is left, and the
good one is then unpacked. Wrong: anything else, and one of both where the other is due.

`
)

// report writes a table of outcomes below a text with their number.
func (t tally) report(b *strings.Builder, text, what string) {
	rows, sum := t.rows(outcomes())
	fmt.Fprintf(b, text, sum)
	b.WriteString(markdown.Table(append([]string{what}, outcomes()...), rows))
}

// reportCrowds writes the table of the crowds.
func (c *campaign) reportCrowds(b *strings.Builder) {
	ends := []string{done, locked, killed, wrong}
	rows, sum := c.crowded.rows(ends)
	fmt.Fprintf(b, crowds, sum, c.dispersed)
	b.WriteString(markdown.Table(append([]string{"processes of"}, ends...), rows))
}
