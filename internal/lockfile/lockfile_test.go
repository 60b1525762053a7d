package lockfile

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary act as a process that holds a lock: with LOCKFILE_HOLD it takes the
// lock, prints "held" and waits to be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCKFILE_HOLD"); path != "" {
		if _, err := Acquire(path); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

// holder starts a process that holds the lock at path.
func holder(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCKFILE_HOLD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	b := make([]byte, 5)
	if n, err := out.Read(b); string(b[:n]) != "held\n" {
		t.Fatalf("holder said %q, %v", b[:n], err)
	}
	return cmd
}

func write(t *testing.T, path string, h Holder) {
	t.Helper()
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// A link to nothing exists for O_EXCL and does not exist for a reader. It is taken for the lock of
// a dead process, as any file that is no lock.
func TestDanglingLink(t *testing.T) {
	for _, guard := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "lock")
		links := []string{path}
		if guard {
			links = append(links, path+guardSuffix)
		}
		for _, link := range links {
			if err := os.Symlink("nowhere", link); err != nil {
				t.Skip(err)
			}
		}
		if h, held, err := Held(path); held || err != nil {
			t.Errorf("guard %v: held by %v, %v", guard, h, err)
		}
		l, err := Acquire(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			t.Errorf("guard %v: the lock is %v, %v", guard, info, err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("guard %v: left behind: %v", guard, left)
		}
	}
}

// A folder is no lock, and stays: the error says what to do about it.
func TestFolderInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Acquire(path)
	_, _, heldErr := Held(path)
	for _, err := range []error{err, heldErr} {
		if want := path + ": is a folder, want a lock file; move it away"; err == nil ||
			err.Error() != "lockfile: "+want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

// RemoveDead removes the lock of a dead process and leaves that of a living one.
func TestRemoveDead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := RemoveDead(path); err != nil {
		t.Error(err)
	}
	cmd := holder(t, path)
	if err := RemoveDead(path); err != nil {
		t.Error(err)
	}
	if _, held, err := Held(path); !held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := RemoveDead(path); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAcquireAndRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if h, alive, err := Held(path); err != nil || !alive || h.PID != os.Getpid() {
		t.Errorf("held by %v, %v, %v", h, alive, err)
	}
	var held *HeldError
	if _, err := Acquire(path); !errors.As(err, &held) || held.Path != path ||
		held.Holder.PID != os.Getpid() || held.Since.IsZero() {
		t.Fatalf("second Acquire: %v", err)
	}
	for range 2 {
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if _, alive, err := Held(path); err != nil || alive {
		t.Errorf("held after its release: %v, %v", alive, err)
	}
	if l, err = Acquire(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(path + "*")
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestMissingFolder(t *testing.T) {
	_, err := Acquire(filepath.Join(t.TempDir(), "none", "lock"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A killed holder loses its lock at once, even before its parent has waited for it.
func TestKilledHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd := holder(t, path)
	var held *HeldError
	if _, err := Acquire(path); !errors.As(err, &held) || held.Holder.PID != cmd.Process.Pid {
		t.Fatalf("while it lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	l, err := Wait(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

func TestDeadHolders(t *testing.T) {
	me := self()
	reused, foreign := me, me
	reused.Start++ // a later process with the same id
	foreign.Host = "elsewhere"
	for name, tt := range map[string]struct {
		holder Holder
		age    time.Duration
		held   bool
	}{
		// On the same machine a missing heartbeat does not count: the machine may have slept.
		"this process":        {me, time.Hour, true},
		"reused process id":   {reused, 0, false},
		"other host, beating": {foreign, 90 * time.Second, true},
		"other host, no beat": {foreign, 3 * time.Minute, false},
		"other container, alive": {Holder{Host: me.Host, Machine: "x pid:[1]", PID: 1 << 30},
			time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			write(t, path, tt.holder)
			beat := time.Now().Add(-tt.age)
			if err := os.Chtimes(path, beat, beat); err != nil {
				t.Fatal(err)
			}
			l, err := Acquire(path)
			var held *HeldError
			if got := errors.As(err, &held); got != tt.held || (!got && err != nil) {
				t.Fatalf("held %v (%v), want %v", got, err, tt.held)
			}
			if l != nil {
				l.Release()
			}
		})
	}
}

// A holder that was killed before it filled its lock file leaves an empty one. For a holder that is
// still filling it, Acquire waits.
func TestTornLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	created := time.Now().Add(-3 * time.Minute)
	if err := os.Chtimes(path, created, created); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()

	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { write(t, path, self()) })
	var held *HeldError
	if _, err := Acquire(path); !errors.As(err, &held) || held.Holder.PID != os.Getpid() {
		t.Errorf("while it is being filled: %v", err)
	}
}

// Many processes take over the lock of a dead holder: no two of them hold it at the same time.
func TestTakeoverRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	dead := self()
	dead.Start++
	for range 50 {
		write(t, path, dead)
		var inside, took atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				l, err := Acquire(path)
				var held *HeldError
				if errors.As(err, &held) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				took.Add(1)
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d holders at once", n)
				}
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				l.Release()
			})
		}
		wg.Wait()
		if took.Load() == 0 {
			t.Error("nobody took the lock over")
		}
	}
}

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Wait(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "held by process") {
		t.Errorf("Wait that ends: %v", err)
	}
	notified := 0
	time.AfterFunc(2*poll, func() { l.Release() })
	l, err = Wait(t.Context(), path, func(h Holder) { notified++ })
	if err != nil || notified != 1 {
		t.Fatalf("Wait: %v, notified %d times, want once", err, notified)
	}
	l.Release()
}

// A process that stood still and lost its lock does not remove the lock of its successor.
func TestReleaseOfLostLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, Holder{Host: "elsewhere", PID: 7})
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other's lock is gone: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	// proc(5): field 22 is the start time; the name in brackets may itself hold brackets and
	// spaces.
	const rest = " 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9"
	for s, want := range map[string]bool{"12 (a b) c) S" + rest: true, "12 (sh) Z" + rest: false,
		"12 (sh)": false, "": false} {
		start, running := parseStat(s)
		if running != want || (want && start != 4711) {
			t.Errorf("%q: %d, %v; want %v", s, start, running, want)
		}
	}
}

// A process that was killed in a take-over may leave its second lock, alone or with the first.
func TestKilledInTakeover(t *testing.T) {
	dead := self()
	dead.Start++ // a process that had this one's id
	for _, both := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "lock")
		write(t, path+".takeover", dead)
		if both {
			write(t, path, dead)
		}
		l, err := Acquire(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
			t.Errorf("both locks %v: left behind: %q", both, left)
		}
	}
}

// What is no beginning of a lock is nobody's, and is not waited for.
func TestGarbageIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte("garbage"), 0o666); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if waited := time.Since(began); waited > torn/2 {
		t.Errorf("waited for %v", waited)
	}
}
