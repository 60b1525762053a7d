package figure

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Axis is an axis of a panel.
type Axis struct {
	Label     string
	Low, High float64 // both 0: taken from the data and the guides
	Log       bool    // values that are not positive are left out

	// Names stand at 0, 1, 2, … or, if it is not nil, At, in place of numbers. Where there is no
	// room for all of them, every second one, or third one and so on, is left out.
	Names []string
	At    []float64
}

// minSpan is the least distance between the ends of an axis, and half the least end of a
// logarithmic axis. It keeps the computations away from denormal numbers, which have fewer digits.
const minSpan = 1e-300

// check refuses ends between which nothing can be drawn, and names without a place.
func (a Axis) check() error {
	length := a.High - a.Low
	switch {
	case a.At != nil && len(a.At) != len(a.Names):
		return fmt.Errorf("%d names at %d places, want as many", len(a.Names), len(a.At))
	case a.automatic():
	case !(length > minSpan+1e-9*max(math.Abs(a.Low), math.Abs(a.High))) || math.IsInf(length, 0):
		return fmt.Errorf("from %g to %g, want low < high, finite and not almost equal", a.Low,
			a.High)
	case a.Log && a.Low <= 0:
		return fmt.Errorf("logarithmic from %g to %g, want low > 0", a.Low, a.High)
	}
	return nil
}

// automatic reports whether the data determine the ends.
func (a Axis) automatic() bool { return a.Low == 0 && a.High == 0 }

// shows reports whether v has a position on the axis or on its continuation.
func (a Axis) shows(v float64) bool { return finite(v) && (v > 0 || !a.Log) }

// position is the place of v: 0 at Low and 1 at High. It is limited to ±1e6, so that lengths in
// points stay reasonable.
func (a Axis) position(v float64) float64 {
	low, high := a.Low, a.High
	if a.Log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	return max(-1e6, min((v-low)/(high-low), 1e6))
}

// fitted returns the axis with the ends, if they are automatic, at the smallest and the largest
// value that it can show. If exact is false, or if there is a single value, the ends lie a little
// further out, but not below zero unless a value does.
func (a Axis) fitted(values iter.Seq[float64], exact bool) Axis {
	if !a.automatic() {
		return a
	}
	low, high := math.Inf(1), math.Inf(-1)
	for v := range values {
		if a.shows(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high { // no values
		a.Low, a.High = 0, 1
		if a.Log {
			a.Low = 0.1
		}
		return a
	}
	if a.Log {
		if !exact || high/low < 1+1e-6 {
			low, high = low/1.1, high*1.1
		}
		a.Low = max(low, 2*minSpan)
		a.High = min(max(high, 4*minSpan), math.MaxFloat64)
		return a
	}
	// The limits keep the difference finite.
	low, high = max(low, -math.MaxFloat64/4), min(high, math.MaxFloat64/4)
	extra := 0.05 * (high - low)
	if largest := max(math.Abs(low), math.Abs(high)); largest < minSpan {
		extra = 1
	} else if high-low <= 1e-6*largest {
		extra = 0.1*largest + minSpan
	} else if exact {
		extra = 0
	}
	a.Low, a.High = low-extra, high+extra
	if low >= 0 && high > minSpan {
		a.Low = max(a.Low, 0)
	}
	return a
}

// Around is the axis with the ends, if they are automatic, around the values of some curves. It is
// for panels whose bands reach further than anything that was measured.
func (a Axis) Around(curves []Curve) Axis {
	return a.fitted(func(yield func(float64) bool) {
		for _, c := range curves {
			for _, v := range c.Y {
				if !yield(v) {
					return
				}
			}
		}
	}, false)
}

// axes returns the panel's axes with their ends, which are the edges of a heat map if there is one.
// Otherwise x spans the curves exactly, or with some space around them if there are also points or
// bars. The y axis spans, with some space, everything that lies between the ends of x.
func (p Panel) axes() (x, y Axis) {
	if p.Heat != nil {
		return p.X.fitted(slices.Values(edges(p.Heat.X, p.X.Log)), true),
			p.Y.fitted(slices.Values(edges(p.Heat.Y, p.Y.Log)), true)
	}
	exact := len(p.Points) == 0 && !p.hasBars()
	x = p.X.fitted(func(yield func(float64) bool) {
		for x, y := range p.points {
			if p.Y.shows(y) && !yield(x) {
				return
			}
		}
	}, exact)
	y = p.Y.fitted(func(yield func(float64) bool) {
		for at, y := range p.points {
			if x.shows(at) && x.Low <= at && at <= x.High && !yield(y) {
				return
			}
		}
	}, false)
	return x, y
}

// points yields everything that the y axis spans.
func (p Panel) points(yield func(x, y float64) bool) {
	all := func(x, y []float64) bool {
		for i := range y {
			if !yield(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	for _, l := range slices.Concat(p.Lines, p.Guides) {
		if !all(l.X, l.Y) || l.Low != nil && (!all(l.X, l.Low) || !all(l.X, l.High)) {
			return
		}
	}
	for _, q := range p.Points {
		if !all(q.X, q.Y) {
			return
		}
	}
}

// hasBars reports whether a line has bars.
func (p Panel) hasBars() bool {
	return slices.ContainsFunc(p.Lines, func(l Line) bool { return l.Bars })
}

// ticks returns the ticks with as many labels as the length has room for, at most seven.
func (a Axis) ticks(length vg.Length, size func(label string) vg.Length) []plot.Tick {
	if a.Names != nil {
		return a.names(length, size)
	}
	for steps := 6; ; steps-- {
		ticks := linearTicks(a.Low, a.High, steps)
		if a.Log {
			ticks = logTicks(a.Low, a.High, steps)
		}
		end, fits := vg.Length(math.Inf(-1)), true
		for _, t := range ticks {
			if !t.IsMinor() {
				middle, half := vg.Length(a.position(t.Value))*length, size(t.Label)/2
				fits = fits && end <= middle-half
				end = middle + half
			}
		}
		if fits || steps == 1 {
			return ticks
		}
	}
}

// names are ticks with as many names as the length has room for.
func (a Axis) names(length vg.Length, size func(label string) vg.Length) (ticks []plot.Tick) {
	for every := 1; every <= len(a.Names); every++ {
		ticks = nil
		end, fits := vg.Length(math.Inf(-1)), true
		for i := 0; i < len(a.Names); i += every {
			value := float64(i)
			if a.At != nil {
				value = a.At[i]
			}
			half := size(a.Names[i]) / 2
			middle := vg.Length(a.position(value)) * length
			fits = fits && end <= middle-half
			end = middle + half
			ticks = append(ticks, plot.Tick{Value: value, Label: a.Names[i]})
		}
		if fits {
			break
		}
	}
	return ticks
}

func tickLength(t plot.Tick) vg.Length {
	if t.IsMinor() {
		return majorTick / 2
	}
	return majorTick
}

// labelWidth is the width of a tick's label, with room to the next.
func labelWidth(label string) vg.Length {
	return textStyle(tickSize, draw.XLeft, draw.YTop).Width(label) + gap
}

// labelHeight is the height of a tick's label, with room to the next.
func labelHeight(string) vg.Length { return 1.2 * tickSize }

// widestLabel is the largest labelWidth if the axis has room for all labels.
func (a Axis) widestLabel() vg.Length {
	var widest vg.Length
	for _, t := range a.ticks(vg.Inch, func(string) vg.Length { return 0 }) {
		widest = max(widest, labelWidth(t.Label))
	}
	return widest
}

// labelDigits are the digits of a label with which a million is 1000000 and not 1e+06.
const labelDigits = 7

// linearTicks returns at most steps+1 ticks at multiples of 1, 2 or 5 times a power of ten. Each
// has a label.
func linearTicks(low, high float64, steps int) []plot.Tick {
	limit := float64(steps)
	step := math.Pow10(int(math.Floor(math.Log10((high - low) / limit))))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if (high-low)/step > limit {
			step *= factor
		}
	}
	// Enough digits to tell neighbors apart.
	largest := max(math.Abs(low), math.Abs(high))
	digits := max(labelDigits, 1+int(math.Ceil(math.Log10(largest/step))))
	var ticks []plot.Tick
	start := math.Ceil(low/step - 1e-9)
	for i := range steps + 1 {
		v := (start + float64(i)) * step
		if v > high+1e-9*step {
			break
		}
		label := strings.ReplaceAll(strconv.FormatFloat(v, 'g', digits, 64), "-", "−")
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// logTicks returns the ticks of a logarithmic axis. Over a factor of 100 or more, the powers of ten
// have labels. Over a factor from 5 to 100, the labels are 1, 2 and 5 times the powers of ten (with
// fewer steps 1 and 3 times, or only 1). A shorter axis has linear ticks.
func logTicks(low, high float64, steps int) []plot.Tick {
	if high/low < 5 {
		return linearTicks(low, high, steps)
	}
	from, to := int(math.Floor(math.Log10(low))), int(math.Floor(math.Log10(high)))
	stride := 1 + (to-from)/(steps+1) // powers from one label to the next
	plain := from >= -3 && to <= 3
	round := map[int]bool{1: true, 2: steps >= 4, 3: steps == 2 || steps == 3, 5: steps >= 4}
	var ticks []plot.Tick
	for e := from; e <= to; e++ {
		for digit := 1; digit <= 9; digit++ {
			v := float64(digit) * math.Pow10(e)
			if v < low || v > high {
				continue
			}
			label := ""
			switch power := digit == 1 && e%stride == 0; {
			case high/low < 100 && round[digit], high/low >= 100 && power && plain:
				label = strconv.FormatFloat(v, 'g', labelDigits, 64)
			case high/low >= 100 && power:
				label = "10" + superscript(e)
			}
			if label != "" || stride == 1 {
				ticks = append(ticks, plot.Tick{Value: v, Label: label})
			}
		}
	}
	return ticks
}
