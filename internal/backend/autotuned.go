package backend

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/durable"
	"momentum/internal/lockfile"
)

// autotuned are the kernels that XLA has chosen on a GPU by timing them. A choice depends on times,
// so without them two processes may choose differently and differ by rounding. XLA keeps each
// choice in a small file of a folder, and looks there before it times. Its flag names the folder
// once in a process.
//
// Each process has a folder of its own, since processes that time the same kernel at the same time
// overwrite each other's file, while each goes on with its own choice. Two files fill the folder,
// and get what is new in it; both keep the first choice of a kernel:
//
//   - that of the cache, for the later processes of this machine;
//   - that of a run, for the processes that go on with it.
//
// XLA does not say which choices it takes, so a run keeps all that its process could take: a few
// hundred for each network and setting on this machine, of about 400 bytes each.
type autotuned struct {
	name   string // of the folder, the same for equal choosers; see [chooser]
	folder string
	own    string // the folder of this process that holds the other, or "" if it has none
	common string // the file of the cache, or "" if the user has named the folder
	used   bool   // a run of this process has computed with the choices
	run    string // whose choices were kept last, and how many
	kept   int
	out    io.Writer
}

// autotuneFlag is XLA's flag for the folder of choices.
const autotuneFlag = "--xla_gpu_per_fusion_autotune_cache_dir"

// chooser names who chooses: the plugin with a SHA-256 and its flags, on this machine's GPU. XLA
// tells its files apart by the GPU and the operation only, so that without this name a process
// that must be deterministic, or exact to f32, would take the choices of one that need not.
func chooser(sum string) string {
	who := sha256.New()
	fmt.Fprintln(who, sum, gpuModel(), os.Getenv("NVIDIA_TF32_OVERRIDE"), xlaFlags())
	return fmt.Sprintf("autotuned-%.6x", who.Sum(nil))
}

// keepAutotuning gives XLA a folder with the choices that the cache has. sum is the plugin's
// SHA-256. All other flags must be set. If the folder is named already, by the user or by an
// earlier Open, it stays: XLA reads its flags once.
func keepAutotuning(sum string, o Options) (*autotuned, error) {
	if folder := xlaFlag(autotuneFlag); folder != "" {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return nil, err
		}
		return &autotuned{name: filepath.Base(folder), folder: folder, out: o.Out}, nil
	}
	cache, err := cacheDir(o.CacheDir)
	if err != nil {
		return nil, err
	}
	a := &autotuned{name: chooser(sum), out: o.Out}
	a.common = filepath.Join(cache, a.name+".zip")
	// A process that is killed leaves it: system folders of temporary files are emptied.
	if a.own, err = os.MkdirTemp("", "momentum-"); err != nil {
		return nil, err
	}
	a.folder = filepath.Join(a.own, a.name)
	if err := os.Mkdir(a.folder, 0o777); err != nil {
		return nil, errors.Join(err, os.RemoveAll(a.own))
	}
	addXLAFlag(autotuneFlag, a.folder)
	if _, err := a.take(a.common); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(o.Out, "kernels are chosen anew: %v\n", err)
	}
	return a, nil
}

// TakeAutotuned gives XLA the choices of kernels that KeepAutotuned has put into a run's folder, if
// any, in place of others. Call it before the run compiles anything. The warning says why the run
// may go on with other kernels, "" if there is no reason. Only with CUDA are there choices.
func (b *Backend) TakeAutotuned(run string) (warning string) {
	a := b.autotuned
	if a == nil {
		return ""
	}
	file := filepath.Join(run, autotunedFile)
	const then = "the last digits may differ from those of an undisturbed run"
	found, err := a.take(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case errors.Is(err, errOther):
		return fmt.Sprintf("a run before it in this process computes with other kernels than %s "+
			"has: %s", file, then)
	case err != nil:
		return fmt.Sprintf("%v: kernels are chosen anew, and %s", err, then)
	case found == 0:
		return fmt.Sprintf("%s has no choices of this GPU, plugin and flags: kernels are chosen "+
			"anew, and %s", file, then)
	}
	return ""
}

// errOther means that choices came too late.
var errOther = errors.New("other kernels are in use")

// take puts the choices of a file into the folder, and returns how many the file has. XLA does not
// read a choice again, so once choices are used only new ones are put there.
func (a *autotuned) take(file string) (found int, err error) {
	choices, err := readChoices(file)
	if err != nil {
		return 0, err
	}
	for name, content := range choices {
		rest, ours := strings.CutPrefix(name, a.name+"/")
		if !ours {
			continue
		}
		found++
		path := filepath.Join(a.folder, filepath.FromSlash(rest))
		old, readErr := os.ReadFile(path)
		switch {
		case readErr == nil && bytes.Equal(old, content):
		case readErr == nil && a.used:
			err = errOther
		default:
			if e := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777),
				os.WriteFile(path, content, 0o666)); e != nil {
				return found, e
			}
		}
	}
	return found, err
}

// autotunedFile is the file of choices in the folder of a run.
const autotunedFile = "autotuned.zip"

// KeepAutotuned adds the choices of kernels so far to a file in a run's folder, which TakeAutotuned
// reads, and to that of the cache. Call it before a checkpoint is saved: what follows from the
// checkpoint depends on them.
func (b *Backend) KeepAutotuned(run string) error {
	a := b.autotuned
	if a == nil {
		return nil
	}
	a.used = true
	files, err := a.files()
	if err != nil || run == a.run && len(files) == a.kept { // XLA removes none
		return err
	}
	choices, err := a.choices(files)
	if err != nil {
		return err
	}
	a.share(choices)
	err = addChoices(filepath.Join(run, autotunedFile), choices)
	if err == nil {
		a.run, a.kept = run, len(files)
	}
	return err
}

// LeaveAutotuned adds the choices of kernels to the file of the cache, and removes the folder of
// this process. Call it when nothing more will be compiled.
func (b *Backend) LeaveAutotuned() {
	a := b.autotuned
	if a == nil || a.own == "" {
		return
	}
	var choices map[string][]byte
	files, err := a.files()
	if err == nil {
		choices, err = a.choices(files)
	}
	if err == nil {
		a.share(choices)
	}
	if err := errors.Join(err, os.RemoveAll(a.own)); err != nil {
		fmt.Fprintf(a.out, "the choices of kernels: %v\n", err)
	}
	b.autotuned = nil
}

// Autotuned is the number of choices of kernels that this process has made or found.
func (b *Backend) Autotuned() int {
	if b.autotuned == nil {
		return 0
	}
	files, _ := b.autotuned.files() // none, if they cannot be listed
	return len(files)
}

// share adds choices to the file of the cache. A failure costs later processes some time, so it is
// said once and is no error. While another process does the same, this one leaves it for later.
func (a *autotuned) share(choices map[string][]byte) {
	if a.common == "" || len(choices) == 0 {
		return
	}
	err := os.MkdirAll(filepath.Dir(a.common), 0o777)
	if err == nil {
		var lock *lockfile.Lock
		lock, err = lockfile.Acquire(a.common + ".lock")
		if errors.As(err, new(*lockfile.HeldError)) {
			return
		}
		if err == nil {
			err = errors.Join(addChoices(a.common, choices), lock.Release())
		}
	}
	if err != nil {
		fmt.Fprintf(a.out, "the choices of kernels are not kept for other runs: %v\n", err)
		a.common = ""
	}
}

// files are the paths of XLA's files in the folder and in folders of it. XLA's temporary files do
// not count: those in the folder tmp, and those whose names begin with .tmp_.
func (a *autotuned) files() (paths []string, err error) {
	err = filepath.WalkDir(a.folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile
		case err != nil:
			return err
		case e.IsDir() && e.Name() == "tmp" && path != a.folder:
			return fs.SkipDir
		case !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".tmp_"):
			return nil
		}
		paths = append(paths, path)
		return nil
	})
	return paths, err
}

// choices reads files of the folder: their content by their paths, which begin with its name.
func (a *autotuned) choices(files []string) (map[string][]byte, error) {
	choices := map[string][]byte{}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		rest, err := filepath.Rel(a.folder, path)
		if err != nil {
			return nil, err
		}
		choices[a.name+"/"+filepath.ToSlash(rest)] = content
	}
	return choices, nil
}

// addChoices adds choices to a file, in which the first of a name stays. A file that cannot be read
// is written anew.
func addChoices(file string, choices map[string][]byte) error {
	all, err := readChoices(file)
	if err != nil {
		all = map[string][]byte{}
	}
	before := len(all)
	for name, content := range choices {
		if _, found := all[name]; !found {
			all[name] = content
		}
	}
	if len(all) == before {
		return nil
	}
	return durable.WriteFile(file, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			member, err := z.Create(name)
			if err == nil {
				_, err = member.Write(all[name])
			}
			if err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// readChoices reads a file of choices.
func readChoices(file string) (map[string][]byte, error) {
	z, err := zip.OpenReader(file)
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = fmt.Errorf("%s: %w", file, err)
	}
	if err != nil {
		return nil, err
	}
	defer z.Close()
	choices := map[string][]byte{}
	for _, member := range z.File {
		if !fs.ValidPath(member.Name) {
			return nil, fmt.Errorf("%s: %q, want the path of a file in a folder", file, member.Name)
		}
		in, err := member.Open()
		if err == nil {
			choices[member.Name], err = io.ReadAll(in)
			in.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, member.Name, err)
		}
	}
	return choices, nil
}
