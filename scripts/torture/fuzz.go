//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// fuzzing is the outcome of fuzzing a parser.
type fuzzing struct {
	name   string // the package's folder and the function
	inputs string // number of executions
	failed bool
}

// fuzzAll fuzzes each parser of the repository for a time.
func (c *campaign) fuzzAll(ctx context.Context) error {
	if c.fuzz == 0 || c.only != "" {
		return nil
	}
	if _, err := os.Stat("go.mod"); errors.Is(err, fs.ErrNotExist) {
		return errors.New("-fuzz: no go.mod is here: start in the repository's folder")
	}
	function := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	return filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range function.FindAllSubmatch(source, -1) {
			if err := c.fuzzOne(ctx, filepath.Dir(path), string(match[1])); err != nil {
				return err
			}
		}
		return nil
	})
}

// executions are in the lines that go test prints while it fuzzes.
var executions = regexp.MustCompile(`execs: (\d+)`)

// endOfTime is what go prints if it takes the end of the time for a failure, which happens now and
// then (golang/go#75804). Where an input fails, its failure stands there.
var endOfTime = regexp.MustCompile(`--- FAIL: \w+ \(\S+\)\n {4}context deadline exceeded\nFAIL\n`)

// fuzzOne fuzzes a function of a package.
func (c *campaign) fuzzOne(ctx context.Context, folder, name string) error {
	// By default go spends up to a minute on each new input to make it smaller: FuzzReadRecords
	// came to 50 executions a second, and makes 11,500 with this limit.
	test := exec.CommandContext(ctx, "go", "test", "./"+folder, "-run=^$", "-fuzz=^"+name+"$",
		"-fuzztime="+c.fuzz.String(), "-fuzzminimizetime=10x")
	test.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	test.Cancel = func() error { return syscall.Kill(-test.Process.Pid, syscall.SIGINT) }
	test.WaitDelay = 10 * time.Second
	// On a disk FuzzUnpack of datasets makes 6 executions in 10 seconds, in memory 8,000: its files
	// are durable. Programs may not be executed there, so go builds the test elsewhere.
	if memory, err := os.MkdirTemp("/dev/shm", "torture"); err == nil {
		defer os.RemoveAll(memory)
		test.Env = append(os.Environ(), "TMPDIR="+memory, "GOTMPDIR="+os.TempDir())
	}
	out, err := test.CombinedOutput()
	if ctx.Err() != nil {
		return nil
	}
	inputs := "0"
	if found := executions.FindAllSubmatch(out, -1); found != nil {
		inputs = string(found[len(found)-1][1])
	}
	failed := err != nil && !endOfTime.Match(out)
	f := fuzzing{filepath.ToSlash(folder) + " " + name, inputs, failed}
	c.fuzzed = append(c.fuzzed, f)
	fmt.Fprintf(c.stdout, "fuzzed    %s: %s executions\n", f.name, f.inputs)
	if !failed {
		return nil
	}
	if !strings.Contains(string(out), "--- FAIL: "+name) { // it was not built, say
		return fmt.Errorf("%v: %w: %s", test, err, strings.TrimSpace(string(out)))
	}
	c.wrong = append(c.wrong, fmt.Sprintf("%s: %s", f.name, firstLines(string(out), 12)))
	return nil
}

// firstLines are the first n lines of a text.
func firstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}
