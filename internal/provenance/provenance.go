// Package provenance records how a run was produced: which program, on which device, and when. It
// is the content of manifest.json in a run folder.
package provenance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"momentum/internal/backend"
)

// Provenance describes the process of a run. Unlike the run's results, it differs between two runs
// of one configuration.
type Provenance struct {
	Revision     string            `json:"revision"` // of the program's source
	Go           string            `json:"go"`
	Modules      map[string]string `json:"modules"`
	Backend      string            `json:"backend"`
	Device       string            `json:"device"`
	Devices      int               `json:"devices"`           // that share the work
	Threads      int               `json:"threads,omitempty"` // of XLA, on a CPU
	Plugin       string            `json:"plugin,omitempty"`
	PluginSHA256 string            `json:"plugin_sha256,omitempty"`
	XLAFlags     []string          `json:"xla_flags,omitempty"`
	Started      time.Time         `json:"started"`
	WallSeconds  float64           `json:"wall_seconds"` // over all resumes, compilation included
}

// Collect describes this process, which starts a run or resumes the run of an earlier process.
// before is what the earlier process recorded: zero if there was none.
func Collect(ctx context.Context, be *backend.Backend, before Provenance) Provenance {
	p := Provenance{
		Revision: revision(ctx), Go: runtime.Version(), Modules: backend.Modules(),
		Backend: string(be.Kind), Device: be.Device, Devices: len(be.Devices),
		Threads: be.Threads, PluginSHA256: be.PluginSHA256, XLAFlags: be.Flags,
		Started: time.Now().UTC().Truncate(time.Second),
	}
	if be.Plugin != "" {
		p.Plugin = filepath.Base(be.Plugin)
	}
	if !before.Started.IsZero() {
		p.Started = before.Started
	}
	return p
}

// Moved says that a run goes on with other devices than before, so that its sums may be rounded
// otherwise: "" if it does not. On a CPU the threads decide: one device has two, as two have.
func (p Provenance) Moved(before Provenance) string {
	now, then, what := p.Devices, before.Devices, "devices"
	if p.Threads > 0 && before.Threads > 0 {
		now, then, what = p.Threads, before.Threads, "threads of XLA"
	}
	if then == 0 || now == then {
		return ""
	}
	return fmt.Sprintf("the run goes on with another number of %s, %d instead of %d: the last "+
		"digits may differ from those of an undisturbed run", what, now, then)
}

// Read reads the manifest of an earlier process into v. If the manifest is missing or damaged, v
// keeps its values: only the earlier wall time is lost.
func Read(path string, v any) {
	if old, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(old, v)
	}
}

// revision returns the revision of the source. go build stamps it into the program; go run does
// not, so then it is that of git in the working folder.
func revision(ctx context.Context) string {
	rev, dirty := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				rev = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	if rev != "" {
		return rev + dirty
	}
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=40",
		"--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
