// Package lockfile provides a lock between processes that also works on a shared file system. The
// lock is a file that is created with O_EXCL, names its holder and is touched every ten seconds.
// flock is not used, because on many network file systems it is missing or local to one machine.
//
// A lock whose holder has died is taken over: at once if the holder ran on this machine, and after
// two minutes without a heartbeat if it ran on another one. The age of a heartbeat is the
// difference between this machine's clock and the file's time, so the clocks of machines that share
// locks must agree to within a minute. A lock that is not whole is waited for, for up to three
// seconds and without a word: its holder may be writing it.
package lockfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	heartbeat = 10 * time.Second       // between touches of a lock that is held
	stale     = 2 * time.Minute        // without a heartbeat, the holder on another machine is dead
	torn      = 3 * time.Second        // a holder fills its lock file within this time, or is dead
	poll      = 200 * time.Millisecond // between attempts of Wait
)

// Holder identifies the process that holds a lock. It is the content of the lock file.
type Holder struct {
	Host string `json:"host"`

	// Machine is the boot and the process-id namespace: it distinguishes machines and containers
	// with the same host name.
	Machine string `json:"machine,omitempty"`

	PID int `json:"pid"`

	// Start is when the process started, in clock ticks since boot: it distinguishes a process from
	// a later one with the same id.
	Start uint64 `json:"start,omitempty"`

	Since time.Time `json:"since"`
}

func (h Holder) String() string { return fmt.Sprintf("process %d on %s", h.PID, h.Host) }

// HeldError reports that a living process holds the lock.
type HeldError struct {
	Path   string
	Holder Holder
	Since  time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: held by %s since %s", e.Path, e.Holder, e.Since.Format(time.DateTime))
}

// Lock is a lock that this process holds.
type Lock struct {
	path string
	mine []byte // content of the lock file
	stop context.CancelFunc
	done chan struct{} // closed when the heartbeat has ended
}

// Acquire takes the lock at path, whose folder must exist. If a living process, which may be this
// one, holds the lock, the error wraps a [*HeldError].
func Acquire(path string) (*Lock, error) {
	mine, err := take(path)
	if err != nil {
		return nil, fmt.Errorf("lockfile: %w", err)
	}
	removeGuard(path)
	ctx, stop := context.WithCancel(context.Background())
	l := &Lock{path: path, mine: mine, stop: stop, done: make(chan struct{})}
	go l.beat(ctx)
	return l, nil
}

// Wait takes the lock at path, and waits while a living process holds it. It calls notify, which
// may be nil, once if it has to wait.
func Wait(ctx context.Context, path string, notify func(Holder)) (*Lock, error) {
	for {
		l, err := Acquire(path)
		var held *HeldError
		if !errors.As(err, &held) {
			return l, err
		}
		if notify != nil {
			notify(held.Holder)
			notify = nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// Held returns the living process that holds the lock at path, and whether there is one. It does
// not take the lock.
func Held(path string) (h Holder, held bool, err error) {
	h, held, err = look(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	} else if err != nil {
		return Holder{}, false, fmt.Errorf("lockfile: %w", err)
	}
	return h, held, nil
}

// RemoveDead removes the lock at path if its holder has died, and nothing else.
func RemoveDead(path string) error {
	_, alive, err := look(path)
	if err == nil && !alive {
		err = evict(path)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*HeldError)) {
		return nil
	} else if err != nil {
		return fmt.Errorf("lockfile: %w", err)
	}
	return nil
}

// Release gives up the lock. Further calls do nothing.
func (l *Lock) Release() error {
	l.stop()
	<-l.done
	now, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("lockfile: %w", err)
	case !bytes.Equal(now, l.mine):
		// This machine stood still for two minutes, and another process took the lock over.
		return nil
	}
	if err := os.Remove(l.path); err != nil {
		return fmt.Errorf("lockfile: %w", err)
	}
	return nil
}

// beat touches the lock until it is released or another process has taken it over.
func (l *Lock) beat(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if b, err := os.ReadFile(l.path); err == nil && !bytes.Equal(b, l.mine) {
				return
			}
			os.Chtimes(l.path, now, now) // if a beat fails, the next one makes up for it
		}
	}
}

// take creates the lock file and returns its content.
func take(path string) ([]byte, error) {
	mine, err := json.Marshal(self())
	if err != nil {
		return nil, err
	}
	mine = append(mine, '\n')
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			_, err = f.Write(mine)
			if err := errors.Join(err, f.Close()); err != nil {
				os.Remove(path)
				return nil, err
			}
			return mine, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		holder, alive, err := look(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // released in the meantime
		case err != nil:
			return nil, err
		case alive:
			return nil, &HeldError{Path: path, Holder: holder, Since: holder.Since}
		}
		if err := evict(path); err != nil {
			return nil, err
		}
	}
}

// evict removes the lock of a dead holder. After one process has found the holder dead, and before
// it removes the file, another process may do both and create its own lock, which must stay. So
// evict takes a second lock of the same kind, looks at the holder again, and then removes the file.
func evict(path string) error {
	guard := path + guardSuffix
	if _, err := take(guard); err != nil {
		var held *HeldError
		if errors.As(err, &held) {
			held.Path = path // the process that takes the lock over counts as its holder
		}
		return err
	}
	defer os.Remove(guard)
	_, alive, err := look(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil || alive:
		return err
	}
	return os.Remove(path)
}

const guardSuffix = ".takeover"

// removeGuard removes the second lock of a process that was killed while it took over the lock,
// which this process now holds: so nobody else takes it over, with or without a guard.
func removeGuard(path string) {
	guard := path + guardSuffix
	if _, alive, err := look(guard); err == nil && !alive {
		os.Remove(guard)
	}
}

// look reads the lock file and returns its holder, and whether the holder is alive.
func look(path string) (h Holder, alive bool, err error) {
	start := []byte(`{"host":`) // of every lock
	for deadline := time.Now().Add(torn); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if err != nil {
			if link, e := os.Lstat(path); e == nil && link.Mode()&fs.ModeSymlink != 0 {
				err = nil // no lock, and yet in the way: a link to nothing or to itself
			} else if errors.Is(err, syscall.EISDIR) {
				err = fmt.Errorf("%s: is a folder, want a lock file; move it away", path)
			}
			return Holder{}, false, err
		}
		h = Holder{} // an earlier Unmarshal may have failed half-way
		if json.Unmarshal(b, &h) == nil && h.PID > 0 {
			break
		}
		if time.Now().After(deadline) || silent(path) || !bytes.HasPrefix(b, start[:min(len(b),
			len(start))]) {
			return Holder{}, false, nil // its writer died before it filled the file, or it is none
		}
	}
	me := self()
	if h.Host == me.Host && h.Machine == me.Machine {
		start, running := process(h.PID)
		return h, running && start == h.Start, nil
	}
	return h, !silent(path), nil
}

// silent reports whether the last heartbeat is so long ago that the holder must be dead.
func silent(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) >= stale
}

// self returns this process as a holder.
func self() Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	start, _ := process(os.Getpid())
	// Only Linux has these files: elsewhere the host name alone identifies the machine.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	machine := strings.TrimSpace(string(boot)) + " " + space
	return Holder{Host: host, Machine: strings.TrimSpace(machine), PID: os.Getpid(), Start: start,
		Since: time.Now().Truncate(time.Second)}
}
