package sweep

import (
	"fmt"
	"sync"
	"time"

	"momentum/internal/progress"
)

// Tally shows how many runs have ended: a bar on a terminal, which moves by what the runs under way
// have done, and a line for each run elsewhere. Several goroutines may use it.
type Tally struct {
	list     *List
	options  Options
	bar      *progress.Bar
	lines    bool
	total    int
	mu       sync.Mutex
	n        int          // runs that have a result or have failed
	underWay map[int]bool // by index
	over     chan struct{}
	watching sync.WaitGroup
}

// look is the time between two looks at the runs under way.
const look = time.Second

// NewTally returns the tally of some runs of a list, of which none has ended, and shows it.
func NewTally(l *List, o Options, total int) *Tally {
	t := &Tally{list: l, options: o, bar: progress.Thousandths(o.Stdout, "runs", total),
		lines: !progress.Terminal(o.Stdout), total: total, underWay: map[int]bool{},
		over: make(chan struct{})}
	t.bar.Set(0)
	if !t.lines && o.Share != nil {
		t.watching.Go(t.watch)
	}
	return t
}

// watch moves the bar while runs are under way.
func (t *Tally) watch() {
	for {
		select {
		case <-time.After(look):
		case <-t.over:
			return
		}
		t.mu.Lock()
		t.show()
		t.mu.Unlock()
	}
}

// show sets the bar. A run under way has some of it to go.
func (t *Tally) show() {
	done := int64(1000 * t.n)
	if !t.lines && t.options.Share != nil {
		for i := range t.underWay {
			done += min(999, int64(1000*t.options.Share(t.list.Runs[i], t.list.Folder(i))))
		}
	}
	t.bar.Set(done)
}

// Began says that a run is under way.
func (t *Tally) Began(index int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.underWay[index] = true
}

// Ended shows the state of a run whose process has ended.
func (t *Tally) Ended(s Status, took time.Duration) {
	if s.State == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.underWay, s.Index)
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
	t.show()
	if t.options.Ended != nil {
		t.options.Ended()
	}
}

// Println prints a line above the bar: a head of ten columns, then the text.
func (t *Tally) Println(head, text string) { t.bar.Println(fmt.Sprintf("%-10s%s", head, text)) }

// Close ends the bar.
func (t *Tally) Close() {
	close(t.over)
	t.watching.Wait()
	t.bar.Close()
}
