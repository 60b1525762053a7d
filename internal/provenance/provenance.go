// Package provenance says what a run was made by and with: the file manifest.json of a run folder.
package provenance

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"momentum/internal/backend"
)

// Provenance differs between two runs of one configuration, unlike what they compute.
type Provenance struct {
	Revision     string            `json:"revision"` // of this program's source
	Go           string            `json:"go"`
	Modules      map[string]string `json:"modules"`
	Backend      string            `json:"backend"`
	Device       string            `json:"device"`
	Plugin       string            `json:"plugin,omitempty"`
	PluginSHA256 string            `json:"plugin_sha256,omitempty"`
	Started      time.Time         `json:"started"`
	WallSeconds  float64           `json:"wall_seconds"` // over all resumes, compilation included
}

// Collect describes this process, which starts now or goes on with what an earlier one has started;
// that one left before, which is zero without one.
func Collect(ctx context.Context, be *backend.Backend, before Provenance) Provenance {
	p := Provenance{
		Revision: revision(ctx), Go: runtime.Version(), Modules: backend.Modules(),
		Backend: string(be.Kind), Device: be.Device,
		PluginSHA256: be.PluginSHA256, Started: time.Now().UTC().Truncate(time.Second),
	}
	if be.Plugin != "" {
		p.Plugin = filepath.Base(be.Plugin)
	}
	if !before.Started.IsZero() {
		p.Started = before.Started
	}
	return p
}

// Read reads a manifest that an earlier process has left into v. What is missing or damaged stays
// as it is: it costs the earlier wall time, no more.
func Read(path string, v any) {
	if old, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(old, v)
	}
}

// revision is the revision of the code: what `go build` stamped or, since `go run` stamps nothing,
// what git says in the working folder.
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
