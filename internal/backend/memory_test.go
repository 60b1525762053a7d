package backend

import (
	"os"
	"path/filepath"
	"testing"
)

// Free is what the system has available, or what the limit of a control group leaves if that is
// less: its own, or that of a group around it. Cached files do not count as taken.
func TestFreeMemory(t *testing.T) {
	const job = "sys/fs/cgroup/job/"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  float64
	}{
		{"no groups", nil, 500 * 1024},
		{"version 1", map[string]string{"proc/self/cgroup": "4:memory:/job\n0::/\n"}, 500 * 1024},
		{"no limit", map[string]string{job + "memory.max": "max\n", job + "memory.current": "7\n"},
			500 * 1024},
		{"limit", map[string]string{job + "memory.max": "8000\n", job + "memory.current": "3000\n"},
			5000},
		{"limit of a task", map[string]string{"proc/self/cgroup": "0::/job/step/task\n",
			job + "memory.max": "8000\n", job + "memory.current": "3000\n",
			job + "step/task/memory.max": "max\n", job + "step/task/memory.current": "3000\n"},
			5000},
		{"cached files", map[string]string{job + "memory.max": "8000\n",
			job + "memory.current": "7900\n",
			job + "memory.stat":    "anon 900\nfile 7000\ninactive_file 6000\nactive_file 1000\n"},
			7100},
		{"more than the system", map[string]string{job + "memory.max": "8000000\n",
			job + "memory.current": "1\n"}, 500 * 1024},
		{"above the limit", map[string]string{job + "memory.max": "8\n",
			job + "memory.current": "9\n"}, 0},
	} {
		root := t.TempDir()
		write := func(name, text string) {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write("proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    500 kB\n")
		write("proc/self/cgroup", "0::/job\n")
		for name, text := range tt.files {
			write(name, text)
		}
		if got, known := freeMemory(root); got != tt.want || !known {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, known, tt.want)
		}
	}
	if _, known := freeMemory(t.TempDir()); known {
		t.Error("known without /proc/meminfo")
	}
}
