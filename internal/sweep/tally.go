package sweep

import (
	"fmt"
	"sync"
	"time"

	"momentum/internal/progress"
)

// Tally shows how many runs have ended: a bar on a terminal, a line for each run elsewhere. Several
// goroutines may use it.
type Tally struct {
	bar   *progress.Bar
	lines bool
	total int
	after func() // Options.Ended
	mu    sync.Mutex
	n     int // runs that have a result or have failed
}

// NewTally returns the tally of runs of which none has ended, and shows it.
func NewTally(o Options, total int) *Tally {
	t := &Tally{bar: progress.Steps(o.Stdout, "runs", total), lines: !progress.Terminal(o.Stdout),
		total: total, after: o.Ended}
	t.bar.Set(0)
	return t
}

// Ended shows the state of a run whose process has ended.
func (t *Tally) Ended(s Status, took time.Duration) {
	if s.State == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.State.Ended() || s.State == Failed {
		t.n++
	}
	line := fmt.Sprintf("%s %s after %s", s.Run.Name, s.State, took.Round(time.Second))
	t.bar.Describe(line)
	if s.State == Failed {
		line += ": " + s.Reason
	}
	if t.lines || !s.State.Ended() {
		t.Println(fmt.Sprintf("%d/%d", t.n, t.total), line)
	}
	t.bar.Set(int64(t.n))
	if t.after != nil {
		t.after()
	}
}

// Println prints a line above the bar: a head of ten columns, then the text.
func (t *Tally) Println(head, text string) { t.bar.Println(fmt.Sprintf("%-10s%s", head, text)) }

// Close ends the bar.
func (t *Tally) Close() { t.bar.Close() }
