package main

import (
	"os"
	"strings"
)

// vectors lists the vector extensions of the processor; it is empty where Linux does not say them.
func vectors() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	return vectorsIn(string(text))
}

// vectorsIn lists the vector extensions in the flags of the first processor of /proc/cpuinfo.
func vectorsIn(cpuinfo string) string {
	var flags []string
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); key == "flags" || key == "Features" { // x86, ARM
			flags = strings.Fields(value)
			break
		}
	}
	names := map[string]string{"avx2": "AVX2", "fma": "FMA", "avx_vnni": "AVX-VNNI",
		"amx_tile": "AMX", "asimd": "NEON", "sve": "SVE", "sve2": "SVE2"}
	var all, parts []string
	for _, f := range flags {
		if part, found := strings.CutPrefix(f, "avx512"); found {
			parts = append(parts, strings.ToUpper(strings.TrimPrefix(part, "_")))
		} else if name, found := names[f]; found {
			all = append(all, name)
		}
	}
	if parts != nil {
		all = append(all, "AVX-512 ("+strings.Join(parts, ", ")+")")
	}
	return strings.Join(all, ", ")
}
