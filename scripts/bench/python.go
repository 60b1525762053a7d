package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// pinned lists the Python packages of -venv.
var pinned = []string{"jax==0.10.2", "torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"}

// makeVenv creates a Python environment if it does not exist, and installs missing packages in it.
func makeVenv(ctx context.Context, folder string, out io.Writer) error {
	execute := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("-venv: %v: %w", cmd, err)
		}
		return nil
	}
	python := filepath.Join(folder, "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, os.ErrNotExist) {
		if err := execute("python3", "-m", "venv", folder); err != nil {
			return err
		}
	}
	pip := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}
	return execute(python, append(pip, pinned...)...)
}

// hasPython reports whether a Python program has a module. If not, it notes that the contender is
// left out.
func (r *report) hasPython(ctx context.Context, name, module, python string,
	stderr io.Writer) bool {
	out, err := exec.CommandContext(ctx, python, "-c", "import "+module).CombinedOutput()
	if err != nil {
		r.note(stderr, "%s is left out: %v %s; -venv=.venv installs it", name, err, lastLine(out))
	}
	return err == nil
}

// lastLine returns the last line of a program's output.
func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}
