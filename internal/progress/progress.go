// Package progress shows the progress of a download or a training run: a bar on a terminal, and
// plain lines elsewhere, so that log files and pipes receive no control characters.
//
// The rate and the time left are estimated from the last half minute. So they follow a connection
// that slows down, and forget a first step that includes compilation.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	redraw   = 100 * time.Millisecond // between two drawings of the bar on a terminal
	report   = 5 * time.Second        // between two lines in a pipe
	window   = 30 * time.Second       // from which the rate is estimated
	barWidth = 24                     // columns; less on a narrow terminal
	around   = 14                     // columns of the percentage, the bar's ends and spaces
)

// Terminal reports whether w is a terminal that can redraw a line.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Bar shows the progress of one task. Its methods may be called from several goroutines.
type Bar struct {
	w     io.Writer
	label string
	total int64 // <= 0: unknown
	scale int64 // of the count of steps that is shown: 1000 for thousandths
	bytes bool  // counts bytes, and prints lines of its own in a pipe; otherwise counts steps

	mu      sync.Mutex
	bar     *progressbar.ProgressBar // nil unless w is a terminal
	n       int64
	text    string    // from Describe
	began   sample    // the start of the task
	placed  bool      // began.n is known
	samples []sample  // of the window, oldest first
	shown   time.Time // the last drawing of the bar or printing of a line
	drawn   int       // columns of the last drawing, at most
	ended   bool      // nothing more is drawn
}

// sample is a count at a time.
type sample struct {
	time time.Time
	n    int64
}

// Bytes starts a transfer of total bytes (<= 0: unknown) and shows the rate and the time left. In a
// pipe it prints a line at the start, at most one every five seconds, and one on Close. A nil w
// means no output.
func Bytes(w io.Writer, label string, total int64) *Bar {
	b := start(&Bar{w: w, label: label, total: total, scale: 1, bytes: true})
	if b.bar == nil {
		if total > 0 {
			label += ": " + size(total)
		}
		fmt.Fprintln(b.w, label)
	}
	return b
}

// Steps starts a task of total steps and shows the count and the time left. In a pipe it prints
// only the lines given to Println.
func Steps(w io.Writer, label string, total int) *Bar {
	return start(&Bar{w: w, label: label, total: int64(total), scale: 1})
}

// Thousandths is [Steps] for a task whose steps are long: Set and Add count in thousandths of a
// step. The count that is shown has tenths.
func Thousandths(w io.Writer, label string, total int) *Bar {
	return start(&Bar{w: w, label: label, total: 1000 * int64(total), scale: 1000})
}

func start(b *Bar) *Bar {
	if b.w == nil {
		b.w = io.Discard
	}
	b.restart(0)
	b.shown = b.began.time
	if Terminal(b.w) {
		b.bar = newBar(b.w, b.total)
		b.draw()
	}
	return b
}

func newBar(w io.Writer, total int64) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1 // draws a spinner
	}
	// Counts, rates and times come from this package: those of the library start from zero, which
	// is wrong for a resumed task.
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionSetSpinnerChangeInterval(0), // turns when drawn, not in a goroutine
	)
}

// Set sets the count. The first call, unless Add came before it, sets the start of a resumed task:
// that part does not count towards the rate. A smaller count than before starts over.
func (b *Bar) Set(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(n)
}

// Add adds n to the count.
func (b *Bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.placed = true
	b.set(b.n + n)
}

// Describe sets the text shown after the count on a terminal.
func (b *Bar) Describe(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
}

// Println prints a line, above the bar if there is one.
func (b *Bar) Println(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar == nil || b.ended {
		fmt.Fprintln(b.w, text)
		return
	}
	b.bar.Clear()
	fmt.Fprintln(b.w, text)
	b.draw()
}

// Interrupt clears the bar on a terminal, for a line that is written elsewhere. The bar comes back
// with the next change.
func (b *Bar) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil && !b.ended {
		b.bar.Clear()
	}
}

// Close draws the final state. Later calls of any method except Println do nothing.
func (b *Bar) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	switch {
	case b.bar != nil:
		b.draw()
		b.end()
	case b.bytes:
		fmt.Fprintln(b.w, b.label+": "+b.summary())
	}
	b.ended = true
}

func (b *Bar) set(n int64) {
	if b.ended {
		return
	}
	if b.total > 0 {
		n = min(n, b.total)
	}
	now := time.Now()
	if !b.placed || n < b.n {
		b.restart(n)
		b.placed = true
	}
	b.n = n
	if last := b.samples[len(b.samples)-1]; now.Sub(last.time) >= window/30 {
		b.samples = append(b.samples, sample{now, n})
		for len(b.samples) > 2 && now.Sub(b.samples[1].time) >= window {
			b.samples = b.samples[1:]
		}
	}
	switch {
	case b.bar != nil && (now.Sub(b.shown) >= redraw || n == b.total):
		b.draw()
	case b.bar == nil && b.bytes && now.Sub(b.shown) >= report:
		b.shown = now
		fmt.Fprintln(b.w, b.label+": "+b.status())
	}
}

func (b *Bar) restart(n int64) {
	b.began = sample{time.Now(), n}
	b.samples = append(b.samples[:0], b.began)
	b.n = n
}

// draw draws the bar, and ends it when the task is complete: the library draws a full bar only
// once.
func (b *Bar) draw() {
	if b.ended {
		return
	}
	b.shown = time.Now()
	columns := 80
	if f, ok := b.w.(*os.File); ok {
		if c, _, err := term.GetSize(int(f.Fd())); err == nil && c > 0 {
			columns = c
		}
	}
	if b.drawn > columns {
		// The terminal was narrowed and has broken the bar into rows: they all go.
		fmt.Fprintf(b.w, "\r\x1b[%dA\x1b[J", (b.drawn-1)/columns)
	}
	text := b.line(columns - around)
	b.drawn = min(columns, around+barWidth+utf8.RuneCountInString(text))
	b.bar.Describe(text)
	b.bar.Set64(b.n)
	b.bar.RenderBlank()
	if b.bar.IsFinished() {
		b.end()
	}
}

// line is what stands beside the bar in a number of columns: the count, the time left and the text.
// Where there is no room for all, the text matters more than the time, and that more than the
// count.
func (b *Bar) line(columns int) string {
	status := b.label + " " + b.status()
	if b.text == "" {
		return cut(status, columns)
	}
	_, left, _ := strings.Cut(status, ", ")
	for _, line := range []string{status + ", " + b.text, left + ", " + b.text} {
		if line[0] != ',' && utf8.RuneCountInString(line) <= columns {
			return line
		}
	}
	// Of the text's parts, the first ones.
	line := b.text
	for utf8.RuneCountInString(line) > columns && strings.Contains(line, "  ") {
		line = line[:strings.LastIndex(line, "  ")]
	}
	return cut(line, columns)
}

// end leaves the bar as it is and begins a new line.
func (b *Bar) end() {
	if !b.ended {
		fmt.Fprintln(b.w)
		b.ended = true
	}
}

// rate returns the progress per second: 0 if it is not known yet.
func (b *Bar) rate() float64 {
	first := b.samples[0]
	d := time.Since(first.time).Seconds()
	if d <= 0 || b.n <= first.n {
		return 0
	}
	return float64(b.n-first.n) / d
}

// status returns, for example, "76.5 MB of 170.1 MB (45%), 1.2 MB/s, 1m18s left" or "120/300, 1m18s
// left".
func (b *Bar) status() string {
	s := b.count()
	rate := b.rate()
	if b.bytes && b.bar == nil && b.total > 0 {
		s += fmt.Sprintf(" (%d%%)", 100*b.n/b.total) // a terminal shows it beside the bar
	}
	if rate == 0 {
		return s
	}
	if b.bytes {
		s += ", " + size(int64(rate)) + "/s"
	}
	if left := b.total - b.n; left > 0 {
		s += ", " + duration(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	return s
}

// summary returns, for example, "170.1 MB in 2m20s, 1.2 MB/s".
func (b *Bar) summary() string {
	d := time.Since(b.began.time)
	s := b.count() + " in " + duration(d)
	if got := b.n - b.began.n; got > 0 && d > 0 {
		s += ", " + size(int64(float64(got)/d.Seconds())) + "/s"
	}
	return s
}

func (b *Bar) count() string {
	switch {
	case !b.bytes && b.total > 0:
		return fmt.Sprintf("%g/%d", float64(10*b.n/b.scale)/10, b.total/b.scale)
	case !b.bytes:
		return fmt.Sprint(b.n)
	case b.total > 0 && b.n < b.total:
		return size(b.n) + " of " + size(b.total)
	}
	return size(b.n)
}

// size formats a number of bytes with decimal units.
func size(n int64) string {
	switch x := float64(n); {
	case x >= 1e9:
		return fmt.Sprintf("%.2f GB", x/1e9)
	case x >= 1e6:
		return fmt.Sprintf("%.1f MB", x/1e6)
	case x >= 1e3:
		return fmt.Sprintf("%.1f kB", x/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// duration formats a time to the second, and from an hour on to the minute.
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%dh%02dm", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%02ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// cut shortens s to a number of columns, so that the bar fits on one line.
func cut(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	return string(r[:max(columns-1, 0)]) + "…"
}
