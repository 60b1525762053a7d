//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"momentum/internal/cifartest"
	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/study"
)

// victim is a command with arguments. It works in the folder in which it is started.
type victim struct {
	name    string // in the tables
	command string // its name: that of its error messages, too
	args    []string
	study   bool // it has workers

	// patience is the time after which it hangs if it has not ended. It then writes the stacks of
	// its goroutines to stderr.
	patience time.Duration

	program string            // its path; empty: this program, see [act]
	calm    string            // the folder in which it ran undisturbed
	want    map[string]string // the result of that
	took    time.Duration     // the time of that
}

// asVictim is a variable of the environment that turns this program into the victim that it names,
// so that nothing is built to be killed.
const asVictim = "MOMENTUM_TORTURE_AS"

// act is the main function of a victim.
func act(command string) (status int) {
	switch command {
	case "figure":
		return figure().Main()
	case "download":
		return cli.Main(command, download)
	}
	return cli.Main(command, func(ctx context.Context, stdout, stderr io.Writer,
		args []string) error {
		c, err := imagerun.ParseCommand(args)
		if err != nil {
			return err
		}
		return c.Run(ctx, stdout, stderr)
	})
}

// figure is a study of tiny runs.
func figure() *study.Figure {
	return &study.Figure{
		Name: "figure", Title: "A figure",
		Scales: []study.Scale{{Name: "tiny", Description: "seconds", Values: map[string]string{
			"data": "cifar10-mini", "model": "wrn16-1", "width": "1", "images": "5", "holdout": "5",
			"epochs": "2", "eval-every": "1", "rates": "0.1", "schedules": "cosine",
			"weight-decays": "0", "seeds": "1", "trial-seeds": "1", "protocol": "effective",
			"grow": "0", "longer": "0", "parameterizations": "centered", "until-loss": "0.01",
		}}},
		Measures: []study.Measure{{Column: "test_accuracy", Title: "test accuracy"}},
	}
}

// victims are the commands that can be tortured. Each takes about a second of one core. Some read
// CIFAR-100 from a folder of that name.
func victims(data string) []*victim {
	cifar := []string{"-preset=tiny", "-backend=go", "-offline", "-model=wrn16-1", "-width=1",
		"-images=5", "-holdout=5", "-chunk=3", "-epochs=6", "-eval-every=1", "-lr=0.1",
		"-checkpoint-every=0s"}
	return []*victim{
		{name: "cifar", command: "cifar", args: cifar},
		{name: "cifar-2", command: "cifar", args: append(cifar[:len(cifar):len(cifar)],
			"-devices=2")},
		{name: "cifar100", command: "cifar", args: append(cifar[:len(cifar):len(cifar)],
			"-data=cifar100", "-data-dir="+data)},
		{name: "sgdm", command: "cifar", args: []string{"-preset=tiny", "-backend=go", "-offline",
			"-model=vgg19", "-width=1", "-images=5", "-holdout=5", "-chunk=3", "-opt=sgdm",
			"-batch=2", "-epochs=6", "-eval-every=1", "-lr=0.01", "-checkpoint-every=0s"}},
		{name: "synthetic", command: "synthetic", program: "synthetic", args: []string{
			"-backend=go", "-offline", "-N=60", "-small-margin=0.1", "-d=8", "-P=3", "-m=2",
			"-T=60", "-test=50", "-checkpoint-every=0s", "-out=out"}},
		{name: "study", command: "figure", study: true, args: []string{"-backend=go", "-offline",
			"-chunk=5", "-jobs=2", "-out=out"}},
	}
}

// prepare lets each victim that is asked for run undisturbed.
func (c *campaign) prepare(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	names := strings.Split(c.names, ",")
	data := filepath.Join(c.work, "cifar-100")
	if slices.Contains(names, "cifar100") {
		if err := os.Mkdir(data, 0o777); err != nil {
			return err
		}
		if err := cifartest.CIFAR100().Write(data, 10, c.random("images", 0)); err != nil {
			return err
		}
	}
	c.victims = slices.DeleteFunc(victims(data), func(v *victim) bool {
		return !slices.Contains(names, v.name)
	})
	for _, v := range c.victims {
		v.patience = c.patience
		if v.program == "" {
			v.program = self
		} else if v.program, err = c.build(ctx, v.program); err != nil {
			return err
		}
		v.calm = filepath.Join(c.work, "calm-"+v.name)
		began := time.Now()
		if p, err := v.start(ctx, v.calm); err != nil {
			return err
		} else if status, stderr := p.end(); status != cli.Done || stderr != "" {
			return fmt.Errorf("%s: undisturbed, and yet status %d: %s", v.name, status, stderr)
		}
		v.took = time.Since(began)
		if v.want, err = result(v.calm); err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "victim    %s: %v, %d files\n", v.name,
			v.took.Round(time.Millisecond), len(v.want))
	}
	return nil
}

// allVictims are the names of all.
const allVictims = "cifar,cifar-2,cifar100,sgdm,synthetic,study"

// build builds a command of the repository and returns its path.
func (c *campaign) build(ctx context.Context, command string) (string, error) {
	path := filepath.Join(c.work, command)
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "momentum/"+command)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

// result is the content of the files below a folder that follow from the arguments alone, by path.
// What a killed process may leave for ever, such as a lock, is among them and so found.
func result(root string) (map[string]string, error) {
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir() && (name == "checkpoints" || name == "logs"):
			return fs.SkipDir
		case e.IsDir(), name == "manifest.json", name == ".checked", name == "SHA256SUMS",
			strings.HasPrefix(name, "events."):
			return nil // with times, or with sums of those
		case filepath.Dir(path) == "out" && (strings.HasPrefix(name, "report.") ||
			name == "figure"): // a report has times; a study copies its program
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR) {
			content, err = []byte("a link"), nil
		}
		all[path] = string(content)
		return err
	})
	return all, err
}

// differences names the files of a result that are not as wanted.
func differences(got, want map[string]string) (all []string) {
	for path, content := range want {
		if text, found := got[path]; !found {
			all = append(all, path+" is missing")
		} else if text != content {
			all = append(all, path+" differs")
		}
	}
	for path := range got {
		if _, found := want[path]; !found {
			all = append(all, path+" is left behind")
		}
	}
	return all
}

// process is a started victim, in a process group of its own.
type process struct {
	*exec.Cmd
	cancel context.CancelFunc
	stderr string        // a file, so that no pipe outlives the process
	ended  chan struct{} // closed at the end
	killed bool          // by this program
	hung   bool          // it did not end by itself
}

// start starts a victim in a folder, which it makes if it is missing.
func (v *victim) start(ctx context.Context, root string) (*process, error) {
	return v.startAs(ctx, root, root+".stderr")
}

// startAs is [victim.start] with a name for the file of what it writes to stderr.
func (v *victim) startAs(ctx context.Context, root, messages string) (*process, error) {
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, err
	}
	stderr, err := os.Create(messages)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	ctx, cancel := context.WithTimeout(ctx, v.patience)
	p := &process{Cmd: exec.CommandContext(ctx, v.program, v.args...), cancel: cancel,
		stderr: stderr.Name(), ended: make(chan struct{})}
	p.Dir, p.Stderr = root, stderr
	p.Env = append(os.Environ(), "NPROC=2", "GOTRACEBACK=all", asVictim+"="+v.command)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGQUIT) }
	p.WaitDelay = 10 * time.Second
	if err := p.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		p.Wait()
		if ctx.Err() != nil {
			p.killGroup() // its workers
		}
		p.hung = errors.Is(ctx.Err(), context.DeadlineExceeded)
		close(p.ended)
	}()
	return p, nil
}

// killGroup kills the process and its workers.
func (p *process) killGroup() error { return syscall.Kill(-p.Process.Pid, syscall.SIGKILL) }

// end waits for the end of the process and returns its exit status, −1 if a signal killed it or it
// did not end, and what it wrote to stderr.
func (p *process) end() (status int, stderr string) {
	<-p.ended
	p.cancel()
	text, err := os.ReadFile(p.stderr)
	if err != nil {
		text = []byte(err.Error())
	}
	if p.hung {
		return -1, string(text)
	}
	return p.ProcessState.ExitCode(), string(text)
}
