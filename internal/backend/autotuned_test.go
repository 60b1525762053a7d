package backend

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gpuProcess is a process that has opened a GPU: the part of it that keeps choices of kernels. The
// test is XLA, which reads and writes files in the folder of its flag.
type gpuProcess struct {
	*Backend
	folder string
	said   *bytes.Buffer
}

// newProcess begins a process with the environment of a new one. Folders of temporary files are in
// that of the test.
func newProcess(t *testing.T, cache string) gpuProcess {
	t.Helper()
	t.Setenv("XLA_FLAGS", "")
	t.Setenv("NVIDIA_TF32_OVERRIDE", "")
	t.Setenv("TMPDIR", t.TempDir())
	setCUDAEnvironment("/elsewhere/xla_cuda_plugin.so", false, false)
	return opened(t, cache)
}

// opened opens a GPU in the environment as it is.
func opened(t *testing.T, cache string) gpuProcess {
	t.Helper()
	p := gpuProcess{said: new(bytes.Buffer)}
	a, err := keepAutotuning("5a5a", Options{CacheDir: cache, Out: p.said})
	if err != nil {
		t.Fatal(err)
	}
	p.Backend, p.folder = &Backend{Kind: CUDA, autotuned: a}, xlaFlag(autotuneFlag)
	return p
}

// choose writes a file as XLA does.
func (p gpuProcess) choose(t *testing.T, name, choice string) {
	t.Helper()
	write(t, filepath.Join(p.folder, name), choice)
}

// check compares the files that XLA finds with those wanted, by their names.
func (p gpuProcess) check(t *testing.T, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	files, err := p.autotuned.files()
	if err != nil {
		t.Fatal(err)
	}
	choices, err := p.autotuned.choices(files)
	for name, content := range choices {
		got[strings.TrimPrefix(name, filepath.Base(p.folder)+"/")] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("choices (-want +got):\n%s%v", diff, err)
	}
}

// keep keeps the choices in a run's folder.
func (p gpuProcess) keep(t *testing.T, run string) {
	t.Helper()
	if err := p.KeepAutotuned(run); err != nil {
		t.Fatal(err)
	}
}

// take goes on with a run, which must lead to a warning that begins so, or to none.
func (p gpuProcess) take(t *testing.T, run, warning string) {
	t.Helper()
	got := p.TakeAutotuned(run)
	if !strings.HasPrefix(got, warning) || (got == "") != (warning == "") {
		t.Errorf("%s: warned %q, want %q", run, got, warning)
	}
}

// Two processes begin at the same time and choose differently. Each run that goes on, here or on
// another machine, takes its own choices, and a new run takes those that were kept first.
func TestAutotunedOfARun(t *testing.T) {
	cache, runA, runB := t.TempDir(), t.TempDir(), t.TempDir()
	a, b := newProcess(t, cache), newProcess(t, cache)
	ofA := map[string]string{"conv.textproto": "algorithm 1", "H100/7/ab.pb": "\x01\x00"}
	ofB := map[string]string{"conv.textproto": "algorithm 2", "H100/7/ab.pb": "\x02\x00"}
	for name := range ofA {
		a.choose(t, name, ofA[name])
		b.choose(t, name, ofB[name])
	}
	for _, name := range []string{"tmp/tmp_per_fusion_cache_x_1.textproto", "H100/7/.tmp_ab_9_1"} {
		a.choose(t, name, "half")
	}
	a.take(t, runA, "")
	a.keep(t, runA)
	b.keep(t, runB)
	a.check(t, ofA)
	b.check(t, ofB)
	b.choose(t, "late.textproto", "algorithm 3") // such as of a graph for a diagnosis
	b.keep(t, runB)
	ofB["late.textproto"] = "algorithm 3"
	a.LeaveAutotuned()
	b.LeaveAutotuned()

	for place, folder := range map[string]string{"here": cache, "elsewhere": t.TempDir()} {
		for run, want := range map[string]map[string]string{runA: ofA, runB: ofB} {
			p := newProcess(t, folder)
			p.take(t, run, "")
			if place == "here" && run == runA { // the cache has B's late choice, too
				p.check(t, map[string]string{"conv.textproto": "algorithm 1",
					"H100/7/ab.pb": "\x01\x00", "late.textproto": "algorithm 3"})
			} else {
				p.check(t, want)
			}
		} // killed: p gives nothing to the cache
	}
	c := newProcess(t, cache)
	c.check(t, map[string]string{"conv.textproto": "algorithm 1", "H100/7/ab.pb": "\x01\x00",
		"late.textproto": "algorithm 3"})
	if c.Autotuned() != 3 {
		t.Errorf("%d choices, want 3", c.Autotuned())
	}
	for _, p := range []gpuProcess{a, b, c} {
		p.LeaveAutotuned()
		if _, err := os.Stat(filepath.Dir(p.folder)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", p.folder, err)
		}
		if p.said.Len() > 0 {
			t.Errorf("said %q", p.said)
		}
	}
}

// A run's first choice stays in its file, and equal choices are equal bytes.
func TestAutotunedFile(t *testing.T) {
	cache, run := t.TempDir(), t.TempDir()
	a := newProcess(t, cache)
	a.choose(t, "conv.textproto", "algorithm 1")
	a.keep(t, run)
	file := filepath.Join(run, autotunedFile)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a.choose(t, "conv.textproto", "algorithm 2")
	a.keep(t, run)
	common, err := os.ReadFile(filepath.Join(cache, filepath.Base(a.folder)+".zip"))
	if after, _ := os.ReadFile(file); err != nil || !bytes.Equal(after, before) ||
		!bytes.Equal(common, before) {
		t.Errorf("%d, then %d bytes, in the cache %d: %v; want the same", len(before), len(after),
			len(common), err)
	}
}

// A process whose XLA chooses nothing, as on a CPU, writes nothing.
func TestNothingAutotuned(t *testing.T) {
	run, cache := t.TempDir(), t.TempDir()
	empty := newProcess(t, cache)
	for _, p := range []gpuProcess{empty, {Backend: &Backend{Kind: CPU}}} {
		p.take(t, run, "")
		p.keep(t, run)
		p.LeaveAutotuned()
	}
	for _, folder := range []string{run, cache} {
		if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
			t.Errorf("%s has %v, %v; want nothing", folder, entries, err)
		}
	}
}

// Other flags of XLA, or another precision, have other choices: those of a process that need not be
// deterministic are not for one that must.
func TestAutotunedByFlags(t *testing.T) {
	cache, run := t.TempDir(), t.TempDir()
	fast := newProcess(t, cache)
	fast.choose(t, "conv.textproto", "atomic")
	fast.keep(t, run)
	fast.LeaveAutotuned()
	names := map[string]bool{filepath.Base(fast.folder): true}
	for _, set := range []func(){
		func() { setCUDAEnvironment("/elsewhere/xla_cuda_plugin.so", false, true) },
		func() { setCUDAEnvironment("/elsewhere/xla_cuda_plugin.so", true, false) },
		func() { t.Setenv("XLA_FLAGS", "--xla_gpu_autotune_level=1") },
	} {
		t.Setenv("XLA_FLAGS", "")
		t.Setenv("NVIDIA_TF32_OVERRIDE", "0")
		set()
		p := opened(t, cache)
		p.check(t, map[string]string{})
		p.take(t, run, filepath.Join(run, autotunedFile)+
			" has no choices of this GPU, plugin and flags: kernels are chosen anew, and the ")
		if name := filepath.Base(p.folder); names[name] {
			t.Errorf("%s is the folder of other flags", name)
		} else {
			names[name] = true
		}
		p.choose(t, "conv.textproto", "exact")
		p.keep(t, run)
		p.LeaveAutotuned()
	}
	if again := newProcess(t, cache); filepath.Base(again.folder) != filepath.Base(fast.folder) {
		t.Errorf("the folder is %s, want %s again", again.folder, fast.folder)
	} else {
		again.take(t, run, "")
		again.check(t, map[string]string{"conv.textproto": "atomic"})
	}
}

// XLA remembers its choices, so those of a second run in the same process come too late where they
// differ.
func TestAutotunedTooLate(t *testing.T) {
	cache, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	other := newProcess(t, t.TempDir())
	other.choose(t, "conv.textproto", "algorithm 2")
	other.choose(t, "sum.textproto", "algorithm 5")
	other.keep(t, second)

	p := newProcess(t, cache)
	p.choose(t, "conv.textproto", "algorithm 1")
	p.keep(t, first)
	p.take(t, first, "")
	p.take(t, second, "a run before it in this process computes with other kernels than "+
		filepath.Join(second, autotunedFile)+" has: the last digits may differ from those of an "+
		"undisturbed run")
	p.check(t, map[string]string{"conv.textproto": "algorithm 1", "sum.textproto": "algorithm 5"})
}

// A damaged file costs a warning, and is written anew. That of the cache does not matter.
func TestAutotunedDamaged(t *testing.T) {
	var foreign bytes.Buffer
	z := zip.NewWriter(&foreign)
	if _, err := z.Create("../escaped"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	whole := t.TempDir()
	p := newProcess(t, cache)
	p.choose(t, "conv.textproto", strings.Repeat("algorithm 1 ", 20))
	p.keep(t, whole)
	text, err := os.ReadFile(filepath.Join(whole, autotunedFile))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(text)
	flipped[len("PK\x03\x04")+26+len(filepath.Base(p.folder))+len("/conv.textproto")+10] ^= 1
	for name, c := range map[string]struct{ content, want string }{
		"empty":   {"", "zip: not a valid zip file: kernels are chosen anew, and the last "},
		"cut":     {string(text[:len(text)/2]), "zip: not a valid zip file: kernels are chosen "},
		"flipped": {string(flipped), filepath.Base(p.folder) + "/conv.textproto: "},
		"foreign": {foreign.String(), `"../escaped", want the path of a file in a folder: `},
	} {
		run := t.TempDir()
		file := filepath.Join(run, autotunedFile)
		write(t, file, c.content)
		write(t, filepath.Join(cache, filepath.Base(p.folder)+".zip"), c.content)
		q := newProcess(t, cache)
		if !strings.HasPrefix(q.said.String(), "kernels are chosen anew: "+cache) {
			t.Errorf("%s: said %q of the cache", name, q.said)
		}
		q.take(t, run, file+": "+c.want)
		q.choose(t, "conv.textproto", "algorithm 3")
		q.keep(t, run)
		for _, r := range []gpuProcess{newProcess(t, cache), newProcess(t, t.TempDir())} {
			r.take(t, run, "")
			r.check(t, map[string]string{"conv.textproto": "algorithm 3"})
		}
	}
}

// The folder that a user names is XLA's alone: it stays, and nothing else fills it.
func TestAutotunedInAFolderOfTheUser(t *testing.T) {
	cache, run := t.TempDir(), t.TempDir()
	folder := filepath.Join(t.TempDir(), "mine")
	t.Setenv("XLA_FLAGS", autotuneFlag+"="+folder)
	p := opened(t, cache)
	p.choose(t, "conv.textproto", "algorithm 1")
	p.keep(t, run)
	p.LeaveAutotuned()
	p.check(t, map[string]string{"conv.textproto": "algorithm 1"})
	if entries, err := os.ReadDir(cache); err != nil || len(entries) > 0 {
		t.Errorf("the cache has %v, %v; want nothing", entries, err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	q := opened(t, cache)
	q.take(t, run, "")
	q.check(t, map[string]string{"conv.textproto": "algorithm 1"})
}

// A cache that cannot be written costs a line, and no run.
func TestAutotunedWithoutCache(t *testing.T) {
	run := t.TempDir()
	cache := filepath.Join(t.TempDir(), "file")
	write(t, cache, "no folder")
	p := newProcess(t, cache)
	p.said.Reset()
	p.choose(t, "conv.textproto", "algorithm 1")
	p.keep(t, run)
	p.keep(t, run)
	p.LeaveAutotuned()
	if got := p.said.String(); strings.Count(got, "\n") != 1 ||
		!strings.HasPrefix(got, "the choices of kernels are not kept for other runs: mkdir ") {
		t.Errorf("said %q, want one line", got)
	}
	q := newProcess(t, t.TempDir())
	q.take(t, run, "")
	q.check(t, map[string]string{"conv.textproto": "algorithm 1"})
	write(t, filepath.Join(run, "folder"), "in the way")
	if err := q.KeepAutotuned(filepath.Join(run, "folder")); err == nil {
		t.Error("a run that cannot keep its choices goes on")
	}
}
