package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// bench_torch.py takes its network from scripts/reference and calls its functions with as many
// arguments as they have. Where PyTorch is not installed, nothing else would tell.
func TestCallsOfReference(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	reference, program := read("../reference/trajectory.py"), read("bench_torch.py")
	imported := regexp.MustCompile(`(?m)^from trajectory import (.+)$`).FindStringSubmatch(program)
	if imported == nil {
		t.Fatal("nothing is imported from trajectory.py")
	}
	for _, name := range strings.Split(imported[1], ", ") {
		defined := regexp.MustCompile(`(?m)^def ` + name + `\((.+)\):$`).
			FindStringSubmatch(reference)
		called := regexp.MustCompile(`[ (]`+name+`\(([^()]+)\)`).
			FindAllStringSubmatch(program, -1)
		if defined == nil || called == nil {
			t.Errorf("%s: definition %q, calls %q", name, defined, called)
			continue
		}
		for _, call := range called {
			if strings.Count(call[1], ",") != strings.Count(defined[1], ",") {
				t.Errorf("%s: called with (%s), want (%s)", name, call[1], defined[1])
			}
		}
	}
}
