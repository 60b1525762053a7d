package backend

import (
	"runtime/debug"
	"strings"
)

// Modules returns the versions of GoMLX's modules in this program, by module path.
func Modules() map[string]string {
	modules := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "github.com/gomlx/") {
				modules[m.Path] = m.Version
			}
		}
	}
	return modules
}
