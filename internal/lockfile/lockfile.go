// Package lockfile is a lock between processes that also holds on a shared file system: a file made
// with O_EXCL that names its holder and is touched every ten seconds. flock is not used, because it
// is missing or local to one machine on many network file systems.
//
// A lock whose holder has died is taken over: at once when the holder ran on this machine, after
// two minutes without a heartbeat when it ran on another one. That compares this machine's clock
// with the file's time, so the clocks of machines that share locks must agree within a minute.
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
	"time"
)

const (
	heartbeat = 10 * time.Second // between touches of a lock that is held
	stale     = 2 * time.Minute  // without a heartbeat a holder on another machine is dead
	// a lock without a readable holder is being written for at most this long
	torn = 10 * time.Second
	poll = 200 * time.Millisecond // between attempts of Wait
)

// Holder is the process that has a lock, as written in the lock file.
type Holder struct {
	Host string `json:"host"`
	// boot and process-id namespace: tells apart containers and machines of one host name
	Machine string `json:"machine,omitempty"`
	PID     int    `json:"pid"`
	// start of the process, in clock ticks since boot: tells a process from a later one with its id
	Start uint64    `json:"start,omitempty"`
	Since time.Time `json:"since"`
}

func (h Holder) String() string { return fmt.Sprintf("process %d on %s", h.PID, h.Host) }

// HeldError says that a living process has the lock.
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
	mine []byte // the content of the lock file
	stop context.CancelFunc
	done chan struct{} // closed when the heartbeat has ended
}

// Acquire takes the lock at path, whose folder must exist. The error is a *HeldError if a living
// process has it, this one included.
func Acquire(path string) (*Lock, error) {
	mine, err := take(path)
	if err != nil {
		return nil, fmt.Errorf("lockfile: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Lock{path: path, mine: mine, stop: stop, done: make(chan struct{})}
	go l.beat(ctx)
	return l, nil
}

// Wait takes the lock at path, and waits while a living process has it. notify, which may be nil,
// is called once if there is something to wait for.
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

// Held says which living process has the lock at path, if any, and takes nothing.
func Held(path string) (h Holder, held bool, err error) {
	h, held, err = look(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	} else if err != nil {
		return Holder{}, false, fmt.Errorf("lockfile: %w", err)
	}
	return h, held, nil
}

// Release gives the lock back. Releasing it again does nothing.
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
		// taken over, because this machine stood still for two minutes: it is the other's now
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
			os.Chtimes(l.path, now, now) // a beat that fails is made up for by the next one
		}
	}
}

// take makes the lock file and returns its content.
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
			continue // released in between
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

// evict removes the lock of a dead holder. Between judging a holder dead and removing its file
// another process may do both and make its own lock, which must not be removed: so the judging is
// repeated, and the file removed, under a second lock of the same kind.
func evict(path string) error {
	guard := path + ".takeover"
	if _, err := take(guard); err != nil {
		var held *HeldError
		if errors.As(err, &held) {
			held.Path = path // the process that is taking over is as good as the holder
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

// look reads the lock file and says whether its holder lives.
func look(path string) (h Holder, alive bool, err error) {
	for deadline := time.Now().Add(torn); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if err != nil {
			return Holder{}, false, err
		}
		h = Holder{} // a failed Unmarshal may have filled a part
		if json.Unmarshal(b, &h) == nil && h.PID > 0 {
			break
		}
		if time.Now().After(deadline) || silent(path) {
			return Holder{}, false, nil // its writer died between making and filling it
		}
	}
	me := self()
	if h.Host == me.Host && h.Machine == me.Machine {
		start, running := process(h.PID)
		return h, running && start == h.Start, nil
	}
	return h, !silent(path), nil
}

// silent says whether the lock has had no heartbeat for so long that its holder must be dead.
func silent(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) >= stale
}

// self describes this process.
func self() Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	start, _ := process(os.Getpid())
	// both are Linux's: elsewhere the host name alone names the machine
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	machine := strings.TrimSpace(string(boot)) + " " + space
	return Holder{Host: host, Machine: strings.TrimSpace(machine), PID: os.Getpid(), Start: start,
		Since: time.Now().Truncate(time.Second)}
}
