package main

import (
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

	"momentum/internal/backend"
)

// report holds the results of one invocation.
type report struct {
	Command   string            `json:"command"`
	Started   time.Time         `json:"started"`
	Go        string            `json:"go"`
	Modules   map[string]string `json:"modules"`
	Processor string            `json:"processor"`
	Vectors   string            `json:"vector_extensions"` // of the processor; "" where unknown
	Rounds    int               `json:"rounds,omitempty"`
	LoadStart float64           `json:"load_average_at_start"` // of one minute; 0 where unknown
	LoadEnd   float64           `json:"load_average_at_end"`
	Notes     []string          `json:"notes"`
	Versions  map[string]sample `json:"versions"` // by contender
	Results   []*result         `json:"results,omitempty"`
	Synthetic []syntheticResult `json:"synthetic,omitempty"`
	Peaks     []peak            `json:"peaks,omitempty"`

	columns []column
}

// busy is the load average above which measurements are in doubt.
const busy = 1.5

func newReport(command string, stderr io.Writer) *report {
	r := &report{
		Command: command, Started: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(),
		Modules: backend.Modules(), Processor: backend.Processor(), Vectors: vectors(),
		LoadStart: loadAverage(), Notes: []string{}, Versions: map[string]sample{},
	}
	if r.LoadStart > busy {
		r.note(stderr, "warning: the machine was busy at the start (load average %.2f)",
			r.LoadStart)
	}
	return r
}

// end checks the load again. The measured process itself keeps every core busy.
func (r *report) end(stderr io.Writer) {
	r.LoadEnd = loadAverage()
	if r.LoadEnd > busy+float64(runtime.NumCPU()) {
		r.note(stderr, "warning: the machine was busy with other work at the end (load average "+
			"%.2f)", r.LoadEnd)
	}
}

// note prints a remark and adds it to the report.
func (r *report) note(stderr io.Writer, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(stderr, text)
	r.Notes = append(r.Notes, text)
}

// loadAverage is the mean number of processes that used or waited for a core in the last minute.
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

// markdown is the report as Markdown.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`\n\n", r.Command)
	fmt.Fprintf(&b, "%s, load average %.2f at the start and %.2f at the end. %s",
		r.Started.Format("2006-01-02 15:04 MST"), r.LoadStart, r.LoadEnd, r.Go)
	for _, module := range slices.Sorted(maps.Keys(r.Modules)) {
		fmt.Fprintf(&b, ", %s %s", module, r.Modules[module])
	}
	fmt.Fprintf(&b, ".\n\n- processor: %s", r.Processor)
	if r.Vectors != "" {
		fmt.Fprintf(&b, " with %s", r.Vectors)
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		v := r.Versions[name]
		if v.Version == "" || name == matmul || name == torchBF16 {
			continue // the bare product is ours too
		}
		fmt.Fprintf(&b, "- %s: %s on %s", name, v.Version, v.Device)
		if v.Plugin != "" {
			fmt.Fprintf(&b, ", plugin %s with SHA-256 %.12s", v.Plugin, v.PluginSHA256)
		}
		b.WriteByte('\n')
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	b.WriteByte('\n')
	if len(r.Results) > 0 {
		b.WriteString(r.steps())
	}
	if len(r.Synthetic) > 0 {
		b.WriteString(r.synthetics())
	}
	if len(r.Peaks) > 0 {
		b.WriteString(r.memory())
	}
	return b.String()
}
