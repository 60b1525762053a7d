package backend

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// build is a known build of XLA for the CPU: a plugin in a wheel of the Python Package Index.
type build struct {
	name         string // in -backend=xla:cpu:NAME: year and month of the build
	wheel               // in which it comes
	member       string // path of the plugin in the wheel
	plugin       string // file name of the plugin in the cache folder
	pluginSHA256 string
}

// cpuBuilds returns the builds for this machine's CPU in the order in which they are tried. Their
// makers are in docs/backends.md. The checksums were computed from the wheels.
func cpuBuilds() []build {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return []build{{
			name: "2026.6",
			wheel: wheel{
				pkg: "fastatomstruct-xla-cpu", version: "2026.6.23",
				file:   "fastatomstruct_xla_cpu-2026.6.23-py3-none-manylinux_2_27_x86_64.whl",
				sha256: "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9",
			},
			member:       "fastatomstruct_xla_cpu/libpjrt_cpu.so",
			plugin:       "fastatomstruct_xla_cpu-2026.6.23-x86_64.so",
			pluginSHA256: "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9",
		}, {
			name: "2025.11",
			wheel: wheel{
				pkg: "xla-cpu-pjrt", version: "0.0.1",
				file:   "xla_cpu_pjrt-0.0.1-py3-none-manylinux_2_27_x86_64.whl",
				sha256: "55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc",
			},
			member:       "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
			plugin:       "xla_cpu_pjrt-0.0.1-x86_64.so",
			pluginSHA256: "88c3f28c5900f48ad4a82cab9e79bba9537809743395e341485f8794268820dc",
		}}
	case "linux/arm64": // the newer package has no wheel for it
		return []build{{
			name: "2025.11",
			wheel: wheel{
				pkg: "xla-cpu-pjrt", version: "0.0.1",
				file:   "xla_cpu_pjrt-0.0.1-py3-none-manylinux_2_27_aarch64.whl",
				sha256: "8f613be6e891858f40d64f9799319502fff42689661944fc18a6ffd8210b30c9",
			},
			member:       "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
			plugin:       "xla_cpu_pjrt-0.0.1-aarch64.so",
			pluginSHA256: "fcf411f3e8ff635c2b2cf87215aa7016f460e66d236c3db08309e7486583532d",
		}}
	}
	return nil
}

// findBuild returns the build with a name.
func findBuild(builds []build, name string) (build, error) {
	i := slices.IndexFunc(builds, func(c build) bool { return c.name == name })
	if i >= 0 {
		return builds[i], nil
	}
	if len(builds) == 0 {
		return build{}, noBuild()
	}
	var names []string
	for _, c := range builds {
		names = append(names, c.name)
	}
	return build{}, fmt.Errorf("backend: xla:cpu: unknown build %q, want %s", name,
		strings.Join(names, " or "))
}

// noBuild is the error on a system without a known build.
func noBuild() error {
	return fmt.Errorf("backend: xla:cpu: there is no plugin for %s on %s: use -backend=go",
		runtime.GOOS, runtime.GOARCH)
}

// buildOf returns the name of the build whose plugin has a checksum, or "".
func buildOf(sum string) string {
	for _, c := range cpuBuilds() {
		if c.pluginSHA256 == sum {
			return c.name
		}
	}
	return ""
}

// openCPU opens XLA on the CPU in the first of the builds that is or can be installed and that
// works. It writes a line to o.Out for each build that it passes over.
func (m machine) openCPU(ctx context.Context, builds []build, why string,
	o Options) (*Backend, error) {
	if _, err := o.cpuDevices(CPU); err != nil {
		return nil, err
	}
	err := noBuild()
	for i, c := range builds {
		if i > 0 {
			fmt.Fprintf(o.Out, "build %s is tried instead of %s: %v\n", c.name, builds[i-1].name,
				err)
		}
		var b *Backend
		if b, err = m.openBuild(ctx, c, why, o); err == nil || ctx.Err() != nil {
			return b, err
		}
	}
	return nil, err
}

// openBuild opens one build, which it installs if necessary, and tries it.
func (m machine) openBuild(ctx context.Context, c build, why string, o Options) (*Backend, error) {
	plugin, err := m.installCPU(ctx, c, o)
	if err != nil {
		return nil, fmt.Errorf("backend: xla:cpu: %w", err)
	}
	if err := checkPlugin(plugin); err != nil {
		return nil, fmt.Errorf("backend: %s: %w", plugin, err)
	}
	b, err := load(CPU, plugin, c.pluginSHA256, why, o)
	if err != nil {
		return nil, err
	}
	b.Build = c.name
	return tried(b)
}
