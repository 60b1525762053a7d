package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"momentum/internal/backend"
	"momentum/internal/measure"
)

// report is everything that a run of this command found out.
type report struct {
	Command string            `json:"command"`
	Started time.Time         `json:"started"`
	Go      string            `json:"go"`
	Modules map[string]string `json:"modules"`
	// of the last minute; 0 where it is not known
	LoadStart float64           `json:"load_average_at_start"`
	LoadEnd   float64           `json:"load_average_at_end"`
	Notes     []string          `json:"notes"`
	Versions  map[string]sample `json:"versions"` // by contender
	Results   []result          `json:"results,omitempty"`
	Synthetic []syntheticResult `json:"synthetic,omitempty"`
	Peaks     []peak            `json:"peaks,omitempty"`

	columns []column
}

// busy is the load average from which on measurements are in doubt.
const busy = 1.5

func newReport(command string, stderr io.Writer) *report {
	r := &report{
		Command: command, Started: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(),
		Modules:   backend.Modules(),
		LoadStart: loadAverage(), Notes: []string{}, Versions: map[string]sample{},
	}
	if r.LoadStart > busy {
		r.note(stderr, "warning: the machine was busy at the start (load average %.2f)",
			r.LoadStart)
	}
	return r
}

// end looks at the load once more. The measured process itself keeps every core busy.
func (r *report) end(stderr io.Writer) {
	r.LoadEnd = loadAverage()
	if r.LoadEnd > busy+float64(runtime.NumCPU()) {
		r.note(stderr, "warning: the machine was busy with more than this at the end (load "+
			"average %.2f)", r.LoadEnd)
	}
}

// note says something now and in the report.
func (r *report) note(stderr io.Writer, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(stderr, text)
	r.Notes = append(r.Notes, text)
}

// loadAverage is the mean number of processes that ran or waited for a core in the last minute.
func loadAverage() (load float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	fmt.Sscan(string(text), &load)
	return load
}

// save writes the report as PATH.json and PATH.md.
func (r *report) save(path, text string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path+".json", append(data, '\n'), 0o666); err != nil {
		return err
	}
	return os.WriteFile(path+".md", []byte(text), 0o666)
}

// markdown is the report for people.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`\n\n", r.Command)
	fmt.Fprintf(&b, "%s, load average %.2f at the start and %.2f at the end. %s",
		r.Started.Format("2006-01-02 15:04 MST"), r.LoadStart, r.LoadEnd, r.Go)
	for _, module := range slices.Sorted(maps.Keys(r.Modules)) {
		fmt.Fprintf(&b, ", %s %s", module, r.Modules[module])
	}
	b.WriteString(".\n\n")
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		if v := r.Versions[name]; v.Version != "" && name != matmul { // which is ours too
			fmt.Fprintf(&b, "- %s: %s on %s\n", name, v.Version, v.Device)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	b.WriteByte('\n')
	if len(r.Results) > 0 {
		b.WriteString(r.rates())
	}
	if len(r.Synthetic) > 0 {
		b.WriteString(r.synthetics())
	}
	if len(r.Peaks) > 0 {
		b.WriteString(r.memory())
	}
	return b.String()
}

// column shows the rates of a contender or, with by, the ratio of its median to another's.
type column struct {
	of, by string
	gflop  bool // GFLOP/s, not units of work per second
}

// title names the column; unit is that of rates, such as images/s.
func (c column) title(unit string) string {
	switch {
	case c.by != "":
		return c.of + "/" + c.by
	case c.gflop:
		return c.of + ", GFLOP/s"
	}
	return c.of + ", " + unit
}

// measured says whether rates, by contender, have those of the column.
func (c column) measured(rates map[string][]float64) bool {
	return len(rates[c.of]) > 0 && (c.by == "" || len(rates[c.by]) > 0)
}

// cell is the column's text for rates by contender of units of work that are so many GFLOP each.
func (c column) cell(rates map[string][]float64, gflop float64) string {
	if !c.measured(rates) {
		return ""
	}
	of := gflops(c.of, rates, gflop)
	if c.by != "" {
		return fmt.Sprintf("%.3f", measure.Median(of)/measure.Median(gflops(c.by, rates, gflop)))
	}
	if !c.gflop {
		of = rates[c.of]
	}
	return fmt.Sprintf("%s (%s–%s)", number(measure.Median(of)), number(slices.Min(of)),
		number(slices.Max(of)))
}

// gflops are a contender's rates in GFLOP/s.
func gflops(name string, rates map[string][]float64, gflop float64) []float64 {
	of := slices.Clone(rates[name])
	for i := range of {
		if name != matmul { // which is in GFLOP/s already
			of[i] *= gflop
		}
	}
	return of
}

// rates is the table of the results, with a row "best" after the chunks of a network.
func (r *report) rates() string {
	columns := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool {
		return !slices.ContainsFunc(r.Results, func(at result) bool { return c.measured(at.Rates) })
	})
	rows := [][]string{{"model", "width", "precision", "chunk"}}
	for _, c := range columns {
		rows[0] = append(rows[0], c.title("images/s"))
	}
	add := func(at result, chunk string, chunks map[string]int) {
		row := []string{at.Model, fmt.Sprint(at.Width), string(at.Precision), chunk}
		for _, c := range columns {
			cell := c.cell(at.Rates, at.GFLOPPerImage)
			if n, found := chunks[c.of]; found && c.by == "" {
				cell += fmt.Sprintf(" at %d", n)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	for i, at := range r.Results {
		add(at, fmt.Sprint(at.Chunk), nil)
		group := r.chunksUpTo(i)
		last := i == len(r.Results)-1 || !sameNetwork(at, r.Results[i+1])
		if last && len(group) > 1 {
			best, chunks := bestOf(group)
			add(best, "best", chunks)
		}
	}
	return table(rows)
}

// sameNetwork says whether two results differ in their chunk only.
func sameNetwork(a, b result) bool {
	return a.Model == b.Model && a.Width == b.Width && a.Precision == b.Precision
}

// chunksUpTo are the results of the same network as result i that stand right before it, and result
// i.
func (r *report) chunksUpTo(i int) []result {
	from := i
	for from > 0 && sameNetwork(r.Results[from-1], r.Results[i]) {
		from--
	}
	return r.Results[from : i+1]
}

// bestOf takes each contender's rates at the chunk at which its median is highest, and says which
// chunk that is. The bare product, which has no chunks, keeps all its rates.
func bestOf(group []result) (best result, chunks map[string]int) {
	best, chunks = group[0], map[string]int{}
	best.Rates = map[string][]float64{}
	for name := range group[0].Rates {
		if name == matmul {
			for _, r := range group {
				best.Rates[name] = append(best.Rates[name], r.Rates[name]...)
			}
			continue
		}
		top := slices.MaxFunc(group, func(a, b result) int {
			return cmp.Compare(measure.Median(a.Rates[name]), measure.Median(b.Rates[name]))
		})
		best.Rates[name], chunks[name] = top.Rates[name], top.Chunk
	}
	return best, chunks
}

// memory is the text of the peaks, which are those of few images, of many, and of a full network.
func (r *report) memory() string {
	rows := [][]string{{"model", "width", "precision", "chunk", "images", "peak memory"}}
	for _, p := range r.Peaks {
		rows = append(rows, []string{p.Model, fmt.Sprint(p.Width), string(p.Precision),
			fmt.Sprint(p.Chunk), fmt.Sprint(p.Images),
			fmt.Sprintf("%.0f MB", float64(p.Bytes)/1e6)})
	}
	text := table(rows)
	if len(r.Peaks) == 3 {
		text += fmt.Sprintf("\nMany images: %.3f times the peak of few plus the images "+
			"themselves (goal: at most 1.1).\nFull width: %.2f GB (goal: under 2.5).\n",
			growth(r.Peaks[0], r.Peaks[1]), float64(r.Peaks[2].Bytes)/1e9)
	}
	return text
}

// number shows about three digits.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// table is a Markdown table, the first row its head, with columns that line up in plain text too.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprintf(&b, "| %-*s ", widths[j], cell)
		}
		b.WriteString("|\n")
		if i == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
